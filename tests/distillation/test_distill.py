"""The verb, end to end on tiny models: what it makes, that it resumes, and that a control has no teacher."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertForSequenceClassification, TrainerCallback

import liteft
from liteft.artifact import read_artifact
from liteft.config import make_recipe, read_recipe
from liteft.data import Dataset, Split
from liteft.data.splitting import text_hashes
from liteft.data.subsets import with_labels_per_class
from liteft.distillation import stages
from liteft.distillation.initial import create_student
from liteft.distillation.relations import LastProjections
from liteft.distillation.teachers import Teacher, find_teacher, with_labels
from liteft.distillation.trainer import DistillingTrainer, Matching
from liteft.distillation.training import StudentTraining
from liteft.distillation.transfer_set import transfer_set_of
from liteft.errors import ConfigError, DataError, ModelError, RunError
from liteft.finetuning import finetune
from liteft.finetuning.batches import LengthGroupedSampler, RowDataset, collate
from liteft.finetuning.context import RunContext
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import WEIGHTS, load_classifier
from liteft.finetuning.trainer import training_arguments
from liteft.form import ExportForm
from liteft.recipes import StudentRecipe
from liteft.run import Run, read_run
from liteft.runtime import load
from tests.cache import Cache
from tests.distillation.students import distill

QUICK: dict[str, Any] = {"size": "2", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "training_precision": "fp32"}


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.model_path / WEIGHTS)


def same(first: Run, second: Run) -> bool:
    ours, theirs = weights(first), weights(second)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def evaluated(run: Run) -> list[int]:
    """Return the steps after which a run was evaluated."""
    lines = (run.path / "log.jsonl").read_text("utf-8").splitlines()
    return [entry["step"] for entry in map(json.loads, lines) if "eval_loss" in entry]


class Stop(TrainerCallback):  # type: ignore[misc]
    """Ends the process's training with an exception after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, *_given: Any, **_rest: Any) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise KeyboardInterrupt


def test_a_student_is_smaller_and_says_what_it_learned_from(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    run = distill(teacher, dataset, out=tmp_path / "student", **QUICK)
    assert run.kind == "student" and run.info["parameters"] < teacher.info["parameters"]
    assert run.info["teacher"]["weights_sha256"] == teacher.info["weights_sha256"]
    assert set(run.metrics) == {"train", "validation", "test"}
    assert run.metrics["test"]["accuracy"] >= 0.8
    assert not (run.path / "checkpoints").exists()


def test_a_student_says_which_of_its_scored_texts_its_teacher_was_trained_on(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    first, last = dataset.train, dataset.test
    splits = {"train": replace(last, name="train"), "validation": dataset.validation, "test": first.take(range(9))}
    other = replace(dataset, splits=splits)
    student = distill(teacher, other, out=tmp_path / "other", **(QUICK | {"epochs": 1}))
    (line,) = (line for line in student.info["warnings"] if "trained on by" in line)
    assert line.startswith("9 of the 9 texts of test were trained on by the teacher")
    same = distill(teacher, dataset, out=tmp_path / "same", **(QUICK | {"epochs": 1}))
    assert not any("trained on by" in line for line in same.info["warnings"])


def test_a_pool_whose_labels_the_teacher_knows_is_said_for_all_arms_that_have_something_of_it(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    few = with_labels_per_class(dataset, 3)
    assert few.pool is not None
    settings = QUICK | {"epochs": 1, "arms": ["c2", "c0"]}
    made = liteft.distill(teacher.path, few, out=tmp_path / "made", until="student", **settings)
    said = {kind: [line for line in run.info["warnings"] if "unlabelled" in line] for kind, (run,) in made.arms.items()}
    whole = f"{len(few.pool)} of the {len(few.pool)} unlabelled texts were trained on by the teacher "
    assert {kind: bool(lines) for kind, lines in said.items()} == {
        "student": True,
        "control": True,
        "c0": False,
        "c2": True,
    }
    assert said["student"][0].startswith(whole)


def test_the_student_moves_towards_the_teachers_logits(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    loaded = load_classifier(teacher.model_path)
    target = predict_logits(loaded, dataset.train.texts)

    start = predict_logits(create_student(loaded, StudentRecipe(size="2")), dataset.train.texts)
    run = distill(teacher, dataset, out=tmp_path / "student", **(QUICK | {"epochs": 12, "logits_loss": "mse"}))
    end = run.predictions("train")[0]
    assert np.square(end - target).mean() < 0.7 * np.square(start - target).mean()


@pytest.mark.parametrize(
    "settings",
    [
        {"logits_loss": "mse"},
        {"logits_loss": "kl", "temperature": 4.0, "hard_weight": 0.3},
        {"hidden_weight": 1.0},
        {"relation_weight": 1.0},
        {"hidden_weight": 1.0, "relation_weight": 1.0, "matching_epochs": 1.0, "size": "2x16"},
        {"augmentation": "mask"},
        {"augmentation": "ngram", "logits_loss": "mse"},
    ],
    ids=str,
)
def test_every_loss_and_view_trains(settings: dict[str, Any], teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    before = weights(teacher)
    run = distill(teacher, dataset, out=tmp_path / "student", **(QUICK | settings))
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses and np.isfinite([float(loss) for loss in losses]).all()
    assert "matching" not in " ".join(weights(run))
    after = weights(teacher)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_control_never_sees_the_teachers_outputs(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distill(teacher, dataset, out=tmp_path / "student", control=True, **QUICK)
    control = read_run(tmp_path / "student-control")
    student = read_run(tmp_path / "student")
    assert control.kind == "control" and control.info["steps"] == student.info["steps"]

    # A teacher that says something else changes the student and leaves the control as it is.
    loaded = load_classifier(teacher.model_path)
    other = with_other_answers(teacher, loaded, tmp_path / "other")
    monkeypatch.setattr("liteft.distillation.ensemble.teacher_logits", other)
    distill(teacher, dataset, out=tmp_path / "again", control=True, **QUICK)
    assert same(control, read_run(tmp_path / "again-control"))
    assert not same(student, read_run(tmp_path / "again"))


def with_other_answers(teacher: Run, loaded: Any, folder: Path) -> Any:
    """A stand-in for the teacher's logits: those of the labels in another order."""

    def logits(_loaded: Any, _sha: str, split: Split, **_rest: Any) -> np.ndarray:
        return np.roll(predict_logits(loaded, split.texts), 1, axis=1)

    return logits


def test_the_control_takes_as_many_steps_as_all_of_the_students_stages(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    settings = QUICK | {"hidden_weight": 1.0, "matching_epochs": 1.0, "control": True}
    student = distill(teacher, dataset, out=tmp_path / "student", **settings)
    control = read_run(tmp_path / "student-control")
    assert student.info["steps"] == 12 and control.info["steps"] == 12 + 6


def test_a_search_keeps_the_rate_that_is_best_on_validation(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    run = distill(teacher, dataset, out=tmp_path / "student", learning_rates=[1e-7, 3e-3], layers="first", **QUICK)
    search = run.info["search"]
    assert set(search) == {"1e-07", "0.003"}
    best = max(search, key=lambda rate: search[rate])
    assert run.info["learning_rate"] == float(best)
    alone = distill(
        teacher, dataset, out=tmp_path / "alone", layers="first", **(QUICK | {"learning_rate": float(best)})
    )
    assert same(run, alone)


SEARCHED = QUICK | {
    "hidden_weight": 1.0,
    "matching_epochs": 0.5,
    "learning_rates": [1e-3, 3e-3],
    "augmentation": "mask",
    "checkpoint_steps": 2,
}


@pytest.fixture(scope="module")
def searched(teacher: Run, dataset: Dataset, cache: Cache) -> Run:
    """A student of two rates in two stages, never interrupted."""
    return read_run(cache("distillation-searched", lambda out: distill(teacher, dataset, out=out, **SEARCHED)))


def test_a_rate_that_diverges_is_told_and_leaves_the_choice_to_the_others(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    told: list[str] = []
    rates = QUICK | {"learning_rates": [1e25, 1e-3]}
    student = distill(teacher, dataset, out=tmp_path / "s", progress=told.append, **rates)
    assert student.info["learning_rate"] == 1e-3 and list(student.info["search"]) == ["0.001"]
    assert any("warning: the learning rate 1e+25 diverged: student: the loss is" in line for line in told)
    alone = distill(teacher, dataset, out=tmp_path / "alone", **QUICK | {"learning_rates": [1e-3]})
    assert student.info["weights_sha256"] == alone.info["weights_sha256"]
    with pytest.raises(ModelError, match="the loss is") as caught:
        distill(teacher, dataset, out=tmp_path / "none", **QUICK | {"learning_rates": [1e25, 1e26]})
    assert "student.learning_rates=[1e+25]" in caught.value.command_text()


@pytest.mark.parametrize(
    "stop", [pytest.param(3, marks=pytest.mark.slow), 8, pytest.param(14, marks=pytest.mark.slow), 20]
)
def test_an_interrupted_search_ends_in_the_same_weights(
    stop: int, searched: Run, teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        distill(teacher, dataset, out=tmp_path / "cut", callbacks=[Stop(stop)], **SEARCHED)
    assert not (tmp_path / "cut" / "run.json").exists()
    assert same(searched, distill(teacher, dataset, out=tmp_path / "cut", **SEARCHED))


def test_seeds_make_runs_of_their_own_with_one_cache(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    distill(teacher, dataset, out=tmp_path / "student", seeds=2, **QUICK)
    first, second = read_run(tmp_path / "student"), read_run(tmp_path / "student-seed1")
    assert (first.info["seed"], second.info["seed"]) == (0, 1)
    assert not same(first, second)


def test_unlabelled_texts_join_the_student_and_not_the_control(
    teacher: Run, dataset: Dataset, tiny: ModuleType, tmp_path: Path
) -> None:
    texts, _ = tiny.make_texts(24, seed=77)
    (tmp_path / "more.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    settings = QUICK | {"unlabeled": str(tmp_path / "more.txt"), "hard_weight": 0.5, "control": True}
    student = distill(teacher, dataset, out=tmp_path / "student", **settings)
    control = read_run(tmp_path / "student-control")
    assert student.info["training_texts"] == 72 and control.info["training_texts"] == 48
    assert student.pool_hashes().tolist() == text_hashes(texts, None).tolist() and not len(control.pool_hashes())
    assert student.info["steps"] == control.info["steps"] == 18
    chances = [evaluated(run) for run in (student, control)]
    assert chances[0] == chances[1] == [9, 18]  # to be the best checkpoint


def test_probabilities_of_labels_are_the_hard_loss_of_labelled_rows(
    teacher: Run, dataset: Dataset, tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    original = DistillingTrainer.gold_loss

    def gold_loss(self: DistillingTrainer, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels)
        return original(self, logits, labels)

    monkeypatch.setattr(DistillingTrainer, "gold_loss", gold_loss)
    texts, _ = tiny.make_texts(24, seed=77)
    soft = np.random.default_rng(0).dirichlet(np.ones(len(dataset.labels)), len(dataset.train)).astype(np.float32)
    splits = {**dataset.splits, "train": replace(dataset.train, soft_labels=soft, labels=soft.argmax(axis=1))}
    data = replace(dataset, splits=splits, pool=Split("pool", texts))
    run = distill(teacher, data, out=tmp_path / "student", **QUICK | {"hard_weight": 0.5, "epochs": 1})
    assert run.info["training_texts"] == 72
    learned = torch.cat([labels for labels in seen if labels.is_floating_point()]).numpy()
    np.testing.assert_array_equal(learned[np.lexsort(learned.T)], soft[np.lexsort(soft.T)])


def test_multi_label_students_learn_with_unlabelled_texts(tiny: ModuleType, base: Path, tmp_path: Path) -> None:
    data = tiny.make_multi()
    (tmp_path / "more.txt").write_text("red1 w1\nblue2 green3 w4\n", encoding="utf-8")
    recipe = make_recipe({"teacher": tiny.QUICK, "student": QUICK | {"hard_weight": 0.5}})
    run = distill(str(base), data, out=tmp_path / "student", recipe=recipe, unlabeled=str(tmp_path / "more.txt"))
    assert run.task == "multi_label" and read_run(tmp_path / "student-teacher").kind == "teacher"


def test_a_students_threshold_is_refused_before_its_teacher_is_trained(
    base: Path, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="tune_threshold applies where") as caught:
        distill(str(base), dataset, out=tmp_path / "student", tune_threshold=True, **QUICK)
    assert "student.tune_threshold" in str(caught.value.fix) and not list(tmp_path.iterdir())


def test_hard_labels_weigh_as_much_as_soft_ones_whatever_the_number_of_labels(
    tiny: ModuleType, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor, float]] = []
    original = DistillingTrainer.text_loss

    def text_loss(self: DistillingTrainer, logits: Any, batch: Any, outputs: Any) -> Any:
        loss = original(self, logits, batch, outputs)
        seen.append((logits.detach(), batch["labels"], float(loss.detach())))
        return loss

    monkeypatch.setattr(DistillingTrainer, "text_loss", text_loss)
    data = tiny.make_multi()
    teacher = finetune(str(base), data, out=tmp_path / "teacher", **tiny.QUICK)
    distill(teacher, data, out=tmp_path / "student", hard_weight=1.0, **QUICK)
    assert len(seen) == 12
    for logits, labels, loss in seen:
        each = binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
        assert loss == pytest.approx(float(each.sum(1).mean()), rel=1e-5)


def test_a_searched_rate_keeps_its_best_weights_and_no_checkpoint(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[list[str]] = []
    plain = stages.fit

    def spying(*given: Any, **rest: Any) -> Any:
        left.append(sorted(path.name for path in rest["checkpoints"].parent.glob("*/*")))
        return plain(*given, **rest)

    monkeypatch.setattr(stages, "fit", spying)
    distill(teacher, dataset, out=tmp_path / "student", learning_rates=[3e-3, 1e-3], **QUICK)
    assert left == [[], ["best.safetensors", "done.json"]]


def test_an_error_after_a_finished_training_costs_none_of_it(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints are gone by then, and its best weights count as much."""

    def full(*_given: Any, **_rest: Any) -> Run:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("liteft.distillation.student.finish_run", full)
        with pytest.raises(RunError) as caught:
            distill(teacher, dataset, out=tmp_path / "student", **QUICK)
    assert "it goes on from there" in caught.value.fix[0]
    monkeypatch.setattr(stages, "fit", lambda *_args, **_rest: pytest.fail("trained again"))
    assert distill(teacher, dataset, out=tmp_path / "student", **QUICK).info["steps"] == 12


def test_the_same_call_again_returns_the_run_and_another_one_shows_the_difference(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = distill(teacher, dataset, out=tmp_path / "student", **QUICK)
    monkeypatch.setattr(stages, "fit", lambda *_args, **_rest: pytest.fail("trained again"))
    assert distill(teacher, dataset, out=tmp_path / "student", **QUICK).info == run.info
    with pytest.raises(RunError) as caught:
        distill(teacher, dataset, out=tmp_path / "student", **(QUICK | {"temperature": 9.0}))
    assert "temperature: 2.0 -> 9.0" in str(caught.value)


def found_teacher(run: Run) -> Teacher:
    found = find_teacher(run)
    assert isinstance(found, Teacher)
    return found


def test_labels_meet_by_name(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    turned = replace(
        dataset,
        labels=dataset.labels[::-1],
        splits={
            name: replace(split, labels=None if split.labels is None else 2 - split.labels)
            for name, split in dataset.splits.items()
        },
    )
    opened = found_teacher(teacher)
    back = with_labels(turned, opened)
    assert back.labels == dataset.labels
    np.testing.assert_array_equal(back.test.labels, dataset.test.labels)
    with pytest.raises(ModelError, match="was not made for the data"):
        distill(teacher, replace(dataset, labels=("x", "y", "z")), out=tmp_path / "student", **QUICK)
    assert not (tmp_path / "student").exists()


def test_a_student_with_another_tokenizer_learns_from_logits_and_from_views_of_texts(
    teacher: Run, dataset: Dataset, tiny: ModuleType, tmp_path: Path
) -> None:
    own = tiny.write_base(tmp_path / "own", "distilbert")
    content = (own / "tokenizer.json").read_text("utf-8").replace('"w29"', '"w99"')
    (own / "tokenizer.json").write_text(content, encoding="utf-8")
    settings = {name: value for name, value in QUICK.items() if name != "size"} | {"student": str(own)}
    run = distill(teacher, dataset, out=tmp_path / "student", **settings)
    assert run.info["family"] == "distilbert"
    for views in ("mask", "ngram"):
        viewing = settings | {"augmentation": views, "epochs": 8}
        run = distill(teacher, dataset, out=tmp_path / views, control=True, **viewing)
        assert run.metrics["test"]["accuracy"] > 0.5
    with pytest.raises(ConfigError, match="reads the teacher's tokens"):
        distill(teacher, dataset, out=tmp_path / "states", **(settings | {"hidden_weight": 1.0}))


def test_a_student_with_a_part_of_the_vocabulary_matches_states_by_the_teachers_ids(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    """A copy of the teacher with its pieces in another order is the teacher: the losses are zero from the start."""
    turned = tmp_path / "turned"
    shutil.copytree(teacher.model_path, turned)
    content = json.loads((turned / "tokenizer.json").read_text("utf-8"))
    pieces = sorted(content["model"]["vocab"], key=content["model"]["vocab"].__getitem__)
    order = [0, 1, 2, 3, 4, *range(len(pieces) - 1, 4, -1)]
    content["model"]["vocab"] = {pieces[old]: new for new, old in enumerate(order)}
    (turned / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    weights = load_file(turned / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    save_file(weights | {name: weights[name][order].contiguous()}, turned / "model.safetensors", {"format": "pt"})
    student = load_classifier(turned)
    recipe = StudentRecipe(
        size="4", hidden_weight=1.0, relation_weight=1.0, training_precision="fp32", epochs=1, learning_rate=1e-4
    ).model_copy(update={"evaluations_per_epoch": 1})
    opened = found_teacher(teacher)
    context = RunContext(tmp_path / "out")
    pool = transfer_set_of(StudentTraining(opened, dataset, recipe, context, ExportForm()), student, None)
    assert pool.teacher_ids is not None and pool.teacher_ids.tolist() == order
    arguments = training_arguments(recipe, folder=tmp_path / "checkpoints", texts=48)
    relations = LastProjections(student.model), LastProjections(opened.loaded.model)
    trainer = DistillingTrainer(
        teacher=opened.loaded,
        matching=Matching(opened.loaded.config, student.config),
        relations=relations,
        logits=False,
        teacher_ids=pool.teacher_ids,
        context=context,
        model=student.model,
        args=arguments,
        train_dataset=RowDataset(pool.train),
        eval_dataset=RowDataset(pool.train),
        data_collator=collate,
        task=dataset.task,
        sampler=LengthGroupedSampler.of(pool.train, recipe),
        recipe=recipe,
    )
    student.model.eval()
    batch = pool.train([0, 1, 2])
    with torch.no_grad():
        outputs = student.model(**trainer.model_inputs(batch), output_hidden_states=True)
    assert float(trainer.text_loss(outputs.logits, batch, outputs)) < 1e-9
    trainer.teacher_ids = None  # the student's ids, taken for the teacher's
    assert float(trainer.text_loss(outputs.logits, batch, outputs)) > 0.01
    for each in relations:
        each.close()


def test_projections_between_widths_depend_on_the_seed_alone(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    runs = []
    for drawn in (1, 2):
        torch.manual_seed(drawn)
        settings = QUICK | {"size": "2x16", "hidden_weight": 1.0, "max_steps": 3}
        runs.append(distill(teacher, dataset, out=tmp_path / f"drawn {drawn}", **settings))
    assert same(*runs)


def test_the_second_stage_reads_cached_logits(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers: list[Any] = []
    plain = stages.fit

    def spying(*given: Any, **rest: Any) -> Any:
        teachers.append(rest["trainer_arguments"]["teacher"])
        return plain(*given, **rest)

    monkeypatch.setattr(stages, "fit", spying)
    distill(teacher, dataset, out=tmp_path / "student", hidden_weight=1.0, matching_epochs=1.0, **QUICK)
    assert [found is None for found in teachers] == [False, True]


def test_a_stage_has_as_many_steps_whatever_the_number_of_processes() -> None:
    recipe = StudentRecipe(batch_size=8, gradient_accumulation=2)
    rows: Any = SimpleNamespace(epoch_texts=100)  # 13 batches, and 7 steps of two batches each
    assert stages._steps(rows, recipe, 6.0) == 42


def test_threads_hold_for_the_teachers_logits_too_and_end_with_the_run(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    def watching(*_given: Any, **_rest: Any) -> None:
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr("liteft.distillation.ensemble.teacher_logits", watching)
    with pytest.raises(KeyboardInterrupt):
        distill(teacher, dataset, out=tmp_path / "student", threads=before + 1, **QUICK)
    assert seen == [before + 1] and torch.get_num_threads() == before


def test_a_teacher_that_reads_type_ids_gets_them_when_its_student_does_not(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny.make_paired()
    taught = finetune(tiny.write_base(tmp_path / "base", "bert"), data, out=tmp_path / "teacher", **tiny.QUICK)
    seen: list[int] = []
    plain = BertForSequenceClassification.forward

    def forward(self: Any, *given: Any, **rest: Any) -> Any:
        seen.append(int(rest["token_type_ids"].max()))
        return plain(self, *given, **rest)

    monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
    own = tiny.write_base(tmp_path / "own", "distilbert")
    settings = {name: value for name, value in QUICK.items() if name != "size"} | {"student": str(own)}
    run = distill(taught, data, out=tmp_path / "student", hidden_weight=1.0, **settings)
    assert run.info["family"] == "distilbert" and seen and set(seen) == {1}


def test_relations_are_matched_where_the_heads_do_not_divide_the_teachers_width(
    teacher: Run, dataset: Dataset, tiny: ModuleType, tmp_path: Path
) -> None:
    own = tiny.write_base(tmp_path / "own", "bert", num_attention_heads=3, hidden_size=48)
    settings = {name: value for name, value in QUICK.items() if name != "size"} | {"student": str(own)}
    assert distill(teacher, dataset, out=tmp_path / "student", relation_weight=1.0, **settings).kind == "student"


def test_a_classifier_from_transformers_may_teach_pairs_and_one_of_ours_must_have_read_them(
    teacher: Run, tiny: ModuleType, tmp_path: Path
) -> None:
    data = tiny.make_paired()
    with pytest.raises(ModelError, match="pairs of texts"):
        distill(teacher.model_path, data, out=tmp_path / "refused", **QUICK)
    unseen_label = tmp_path / "unseen_label"
    shutil.copytree(teacher.model_path, unseen_label)
    config = json.loads((unseen_label / "config.json").read_text("utf-8"))
    del config["liteft"]
    (unseen_label / "config.json").write_text(json.dumps(config), encoding="utf-8")
    run = distill(unseen_label, data, out=tmp_path / "student", **QUICK)
    assert run.info["paired"] and load_classifier(run.model_path).settings.paired


def test_a_failure_after_the_teachers_logits_leaves_the_folder_free(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_given: Any, **_rest: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("liteft.distillation.student.train_student", fails)
    with pytest.raises(MemoryError):
        distill(teacher.model_path, dataset, out=tmp_path / "student", **QUICK)
    assert not (tmp_path / "student").exists()


def test_the_whole_way_is_one_call(base: Path, dataset: Dataset, tiny: ModuleType, tmp_path: Path) -> None:
    recipe = make_recipe(
        {
            "teacher": tiny.QUICK,
            "student": QUICK | {"control": True, "epochs": 4},
            "export": {"precision": "int8"},
        }
    )
    outcome = liteft.distill(str(base), dataset, out=tmp_path, recipe=recipe)
    assert outcome.teacher is not None and outcome.artifact is not None
    assert [run.kind for run in (*outcome.students, *outcome.controls)] == ["student", "control"]
    with load(outcome.artifact.path) as classifier:
        found = [prediction.label for prediction in classifier.predict(dataset.test.texts)]
    gold = [dataset.labels[label] for label in dataset.test.labels]  # type: ignore[union-attr]
    assert np.mean([a == b for a, b in zip(found, gold, strict=True)]) > 0.7
    again = liteft.distill(str(base), dataset, out=tmp_path, recipe=recipe)
    assert again.artifact is not None and again.artifact.manifest == outcome.artifact.manifest


def test_a_student_that_cannot_be_trained_leaves_its_folder_free(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    missing = str(tmp_path / "nowhere.txt")
    with pytest.raises(DataError):
        distill(teacher, dataset, out=tmp_path / "student", unlabeled=missing, **QUICK)
    with pytest.raises(ConfigError, match=r"no token to mask|reads the teacher"):
        views_without_mask(teacher, dataset, tmp_path)
    assert distill(teacher, dataset, out=tmp_path / "student", **QUICK).kind == "student"


def views_without_mask(teacher: Run, dataset: Dataset, folder: Path) -> None:
    """Distil with views from a copy of the teacher whose vocabulary has neither a mask nor an unknown token."""
    copied = folder / "teacher"
    shutil.copytree(teacher.model_path, copied)
    content = (copied / "tokenizer.json").read_text("utf-8").replace("[MASK]", "<m>").replace("[UNK]", "<u>")
    (copied / "tokenizer.json").write_text(content, encoding="utf-8")
    distill(copied, dataset, out=folder / "student", **(QUICK | {"augmentation": "mask"}))


@pytest.mark.slow
def test_two_processes_distil_one_student_that_one_of_them_exports(
    base: Path, tiny: ModuleType, tmp_path: Path
) -> None:
    rows = zip(*tiny.make_texts(60, seed=3), strict=True)
    lines = [json.dumps({"text": text, "label": tiny.LABELS[gold]}) + "\n" for text, gold in rows]
    (tmp_path / "data.jsonl").write_text("".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "liteft.cli", "distill", "--data", str(tmp_path / "data.jsonl"), "--teacher", str(base)]
    command += ["--size", "2x16", "--out", str(tmp_path / "runs"), "--tolerance", "100"]
    (tmp_path / "pool.txt").write_text("\n".join(tiny.make_texts(30, seed=9)[0]), encoding="utf-8")
    command += ["--unlabeled", str(tmp_path / "pool.txt")]
    command += ["--epochs", "2", "--batch-size", "8"]
    command += ["--set", "student.hidden_weight=1", "--set", "student.matching_epochs=1"]
    command += ["--set", "teacher.max_tokens=16", "--set", "teacher.epochs=3"]
    command += ["--set", "student.learning_rates=[1e-3, 3e-3]", "--control"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    made = {path.name for path in (tmp_path / "runs").iterdir()}
    assert {"artifact", "floors.json", "to_label.jsonl"} <= made
    assert read_artifact(tmp_path / "runs" / "artifact").manifest.form.precision == "int8"
    for name, epochs in (("teacher", 3), ("student", 2), ("student-control", 2 + 1)):
        run = read_run(tmp_path / "runs" / name)
        assert np.isfinite(run.predictions("test")[0]).all()
        batch = 32 if name == "teacher" else 8
        learned = read_run(tmp_path / "runs" / "student").info["training_texts"]  # a control has as many steps
        texts = run.info["data"]["rows"]["train"] if name == "teacher" else learned
        assert run.info["steps"] == epochs * -(-texts // batch)


def test_the_data_check_is_shown_once_before_the_first_training(
    teacher: Run, base: Path, dataset: Dataset, tiny: ModuleType, tmp_path: Path
) -> None:
    def shown(source: Run | str, name: str) -> int:
        lines: list[str] = []
        recipe = make_recipe({"teacher": tiny.QUICK | {"max_steps": 1}, "student": QUICK | {"max_steps": 1}})
        distill(source, dataset, out=tmp_path / name, recipe=recipe, control=True, seeds=2, progress=lines.append)
        return sum(line.startswith("data: ") for line in lines)

    assert shown(teacher, "of a teacher that is there") == 1
    assert shown(str(base), "of a teacher that is trained first") == 1


def test_a_short_search_tries_three_rates_and_trains_with_the_best(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    settings = QUICK | {"learning_rate": 1e-3, "rate_search": True, "epochs": 4}
    run = distill(teacher, dataset, out=tmp_path / "student", **settings)
    assert list(run.info["search"]) == ["0.0005", "0.001", "0.002"]
    best = max(run.info["search"], key=run.info["search"].__getitem__)
    assert run.info["learning_rate"] == float(best) and run.info["steps"] == 24
    alone = distill(
        teacher, dataset, out=tmp_path / "alone", **(settings | {"learning_rate": float(best), "rate_search": False})
    )
    assert same(run, alone)


def test_settings_left_open_are_settled_and_kept_by_the_run(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "student", {"size": "2", "max_steps": 1, "training_precision": "fp32"}
    run = distill(teacher, dataset, out=out, **settings)
    stored = read_recipe(out / "recipe.toml").student
    assert (stored.epochs, stored.learning_rate, stored.rate_search) == (80.0, 1e-3, False)
    monkeypatch.setattr("liteft.defaults._RATE", 1e-9)  # another version of LiteFT chooses otherwise
    assert distill(teacher, dataset, out=out, **settings).info == run.info
    with pytest.raises(RunError) as caught:
        distill(teacher, dataset, out=out, **settings, learning_rate=1e-4)
    assert caught.value.accepted == {"learning_rate": "0.001 -> 0.0001"}
