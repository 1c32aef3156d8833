"""What is said of trainings that ran away, of models no better than a guess, and of students below their teacher."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import TrainerState

from liteft.errors import ModelError
from liteft.finetuning.soundness import Divergence, kept_evaluation, warnings_of_metrics
from liteft.tasks import SINGLE_LABEL

ARGUMENTS = SimpleNamespace(learning_rate=5.0)


def watched(*logs: dict[str, float], before: tuple[dict[str, float], ...] = ()) -> tuple[list[str], list[str]]:
    """Return the warnings of a training that logged these, ``before`` until a kill, and what was told of them."""
    told: list[str] = []
    watch = Divergence("teacher", SINGLE_LABEL.chance_loss(6), told.append)
    state = SimpleNamespace(global_step=40, max_steps=200, is_world_process_zero=True, log_history=list(before))
    watch.on_train_begin(ARGUMENTS, state, SimpleNamespace())  # type: ignore[arg-type]
    for each in logs:
        state.log_history.append(each)  # as Trainer.log does, before it calls
        watch.on_log(ARGUMENTS, state, SimpleNamespace(), logs=each)  # type: ignore[arg-type]
    return watch.warnings, told


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        ([{"loss": 4995.0}, {"eval_loss": 4995.0}], "validation loss 4,995 at step 40, and a guess has 1.8"),
        ([{"loss": 1.8}, {"loss": 30.0}], "loss 30 at step 40, and it began at 1.8"),
    ],
)
def test_a_loss_that_runs_away_is_told_once_with_the_rate(logs: list[dict[str, float]], words: str) -> None:
    warnings, told = watched(*logs, *logs)
    assert len(warnings) == len(told) == 1
    assert words in warnings[0] and "a lower learning rate than 5" in warnings[0]
    assert told[0].startswith("teacher: warning: the training diverges")


@pytest.mark.parametrize(
    "logs", [[{"loss": 1.8}, {"loss": 0.2}, {"eval_loss": 2.9}], [{"loss": 9.0}, {"loss": 40.0}], [{}]]
)
def test_a_usual_loss_is_not_worth_a_word(logs: list[dict[str, float]]) -> None:
    assert watched(*logs) == ([], [])


def test_a_loss_of_a_resumed_training_is_held_against_where_all_of_it_began() -> None:
    assert watched({"loss": 0.0008}, {"loss": 0.02}, before=({"loss": 1.8, "step": 10},)) == ([], [])
    assert len(watched({"loss": 20.0}, before=({"loss": 1.8, "step": 10},))[0]) == 1


def test_what_was_noted_before_a_kill_is_noted_when_the_training_goes_on() -> None:
    before = ({"loss": 1.8, "step": 10}, {"loss": 30.0, "step": 20}, {"eval_loss": 2.0, "step": 30})
    warnings, told = watched({"loss": 1.7}, before=before)
    assert len(warnings) == len(told) == 1
    assert "loss 30 at step 20, and it began at 1.8" in warnings[0]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(loss: float) -> None:
    with pytest.raises(ModelError, match=r"the loss is (nan|inf) at step 40 of 200") as caught:
        watched({"loss": loss})
    assert "--learning-rate 0.5" in caught.value.command_text()


def metrics(accuracy: float, majority: float = 0.3) -> dict[str, Any]:
    return {"validation": {"accuracy": accuracy, "majority": majority}}


def test_a_model_at_the_share_of_the_most_frequent_answer_has_learned_nothing() -> None:
    labels = np.repeat([0, 1, 2, 3], [6, 5, 5, 4])
    known = {"teacher": None, "labels": labels, "count": 4}
    said = warnings_of_metrics(metrics(0.3), SINGLE_LABEL, kind="teacher", **known)
    assert len(said) == 1 and "right on 30.0%" in said[0] and "learned nothing" in said[0]
    assert not warnings_of_metrics(metrics(0.31), SINGLE_LABEL, kind="teacher", **known)


def test_a_model_that_finds_rare_labels_has_learned_something() -> None:
    labels = np.repeat([0, 1], [190, 10])
    for found, count in ((0.8, 0), (0.48, 1)):
        values = {"validation": {"accuracy": 0.94, "majority": 0.95, "macro_f1": found}}
        said = warnings_of_metrics(values, SINGLE_LABEL, kind="teacher", teacher=None, labels=labels, count=2)
        assert len(said) == count


def test_models_of_which_one_has_a_tuned_threshold_are_not_told_to_be_apart() -> None:
    told = [
        warnings_of_metrics(metrics(0.8), SINGLE_LABEL, kind="student", teacher=metrics(0.9), unlike=unlike)
        for unlike in (False, True)
    ]
    assert [len(each) for each in told] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "accuracy", "count"), [("student", 0.8, 1), ("student", 0.86, 0), ("control", 0.8, 0)]
)
def test_a_student_far_below_its_teacher_is_told_what_to_try(kind: str, accuracy: float, count: int) -> None:
    said = warnings_of_metrics(metrics(accuracy), SINGLE_LABEL, kind=kind, teacher=metrics(0.9))
    assert len(said) == count
    assert all("10.0 points of validation accuracy below its teacher" in each for each in said)
    assert all("larger size" in each for each in said)


def test_a_student_of_several_teachers_is_compared_with_the_first_and_told_so() -> None:
    whose = "the first of its teachers"
    (said,) = warnings_of_metrics(metrics(0.8), SINGLE_LABEL, kind="student", teacher=metrics(0.9), whose=whose)
    assert "10.0 points of validation accuracy below the first of its teachers" in said


def test_the_kept_evaluation_is_named_by_epoch_and_score() -> None:
    state = TrainerState(global_step=100, best_global_step=70, best_metric=0.8174)
    state.log_history = [
        {"step": 70, "epoch": 7.0, "loss": 0.1},
        {"step": 70, "epoch": 7.0, "eval_accuracy": 0.8174, "eval_macro_f1": 0.7512},
        {"step": 100, "epoch": 10.0, "eval_accuracy": 0.8, "eval_macro_f1": 0.76},
    ]
    kept = kept_evaluation(state, ("accuracy",))
    assert (kept.epoch, kept.values) == (7.0, {"accuracy": 0.8174})
    assert kept.text == "kept: epoch 7, validation 81.7% accuracy (step 70 of 100)"
    both = kept_evaluation(state, ("accuracy", "macro_f1"))
    assert both.text == "kept: epoch 7, validation 81.7% accuracy and 75.1% macro F1 (step 70 of 100)"


def test_weights_kept_for_their_log_loss_are_told_with_it() -> None:
    state = TrainerState(global_step=20, best_global_step=10, best_metric=0.28374)
    state.log_history = [{"eval_log_loss": 0.28374, "step": 10, "epoch": 1.0}]
    assert kept_evaluation(state, ("log_loss",)).text == "kept: epoch 1, validation 0.2837 log loss (step 10 of 20)"
