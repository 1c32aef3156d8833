"""A tuned threshold on the whole way: teachers, starts, arms, resuming, exports, searches and comparisons."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from transformers import TrainerCallback

from liteft import distill, export
from liteft.arms import threshold_notes
from liteft.config import make_recipe
from liteft.cross_validated import together
from liteft.data import Dataset
from liteft.distillation.initial import create_student
from liteft.distillation.teachers import Teacher
from liteft.errors import ConfigError
from liteft.finetuning import finetune
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.frontier.searching import _quality
from liteft.recipes import StudentRecipe
from liteft.report import seeds_table
from liteft.report.subjects import find_subjects
from liteft.run import Run

QUICK: dict[str, Any] = {"size": "2", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "training_precision": "fp32"}


@pytest.fixture(scope="module")
def several(tiny: ModuleType) -> Dataset:
    """Texts with one or two labels, enough of them in validation to tune a threshold on."""
    return tiny.make_multi(other=64)


@pytest.fixture(scope="module")
def tuned(tiny: ModuleType, base: Path, several: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A teacher with a tuned threshold. Read it only."""
    settings = tiny.QUICK | {"epochs": 1, "head": "random", "tune_threshold": True}
    run = finetune(base, several, out=tmp_path_factory.mktemp("tuned") / "teacher", **settings)
    assert run.info["threshold"] != 0.5
    return run


def of(teacher: Any, data: Dataset, out: Path, **changes: Any) -> Any:
    return distill(teacher, data, out=out, recipe=make_recipe({"student": QUICK | changes}), until="student")


def test_a_student_learns_the_same_from_the_run_and_from_its_model_alone(
    tuned: Run, several: Dataset, tmp_path: Path
) -> None:
    made = [of(source, several, tmp_path / str(n)) for n, source in enumerate((tuned, tuned.model_path))]
    assert made[0].student.info["weights_sha256"] == made[1].student.info["weights_sha256"]


def test_a_student_that_starts_from_a_tuned_model_starts_without_its_shift(tuned: Run, several: Dataset) -> None:
    teacher = Teacher.of(tuned)
    recipe = StudentRecipe(student=str(tuned.model_path))
    start = create_student(teacher.loaded, recipe, encoder=tuned.model_path)
    assert start.settings.threshold_shift == 0.0
    texts = several.validation.texts
    np.testing.assert_allclose(
        predict_logits(start, texts), predict_logits(teacher.loaded, texts), rtol=1e-4, atol=1e-4
    )


def test_every_arm_and_seed_gets_a_threshold_of_its_own(tuned: Run, several: Dataset, tmp_path: Path) -> None:
    made = of(tuned, several, tmp_path / "out", arms=["c1", "c2"], seeds=2, tune_threshold=True)
    for runs in made.arms.values():
        for run in runs:
            shift = load_classifier(run.model_path).settings.threshold_shift
            assert run.info["threshold"] == pytest.approx(1 / (1 + np.exp(-shift)))
            stored = json.loads((run.model_path / "config.json").read_text())["liteft"]
            assert ("threshold_shift" in stored) == (shift != 0)
    notes = made.seeds.notes
    assert not any("threshold" in note for note in notes)


class Interrupting(TrainerCallback):  # type: ignore[misc]
    """Ctrl-C after the first epoch."""

    def on_step_end(self, _args: Any, state: Any, *_given: Any, **_rest: Any) -> None:
        if state.global_step == 7:
            raise KeyboardInterrupt


def test_a_resumed_student_has_the_same_threshold_and_bits(tuned: Run, several: Dataset, tmp_path: Path) -> None:
    recipe = make_recipe({"student": QUICK | {"tune_threshold": True}})
    whole = distill(tuned, several, out=tmp_path / "whole", recipe=recipe, until="student").student
    with pytest.raises(KeyboardInterrupt):
        distill(tuned, several, out=tmp_path / "killed", recipe=recipe, until="student", callbacks=[Interrupting()])
    resumed = distill(tuned, several, out=tmp_path / "killed", recipe=recipe, until="student").student
    assert whole is not None and resumed is not None
    assert resumed.info["threshold"] == whole.info["threshold"]
    assert resumed.info["weights_sha256"] == whole.info["weights_sha256"]


def test_an_export_of_the_model_alone_says_that_its_scores_are_shifted(
    tuned: Run, several: Dataset, tmp_path: Path
) -> None:
    for number, source in enumerate((tuned, tuned.model_path)):
        made = export(source, tmp_path / str(number), precision="fp32", verify=several.validation)
        assert made.manifest.training["threshold"] == pytest.approx(tuned.info["threshold"])
        assert "scores are not probabilities" in (made.path / "card.md").read_text()


def test_an_export_of_an_untouched_model_says_nothing_of_a_threshold(
    tiny: ModuleType, base: Path, tmp_path: Path
) -> None:
    few = tiny.make_multi()  # too few validation texts
    run = finetune(base, few, out=tmp_path / "run", **tiny.QUICK | {"epochs": 6, "tune_threshold": True})
    assert "threshold" not in run.info
    made = export(run, tmp_path / "artifact", precision="fp32", verify=few.validation)
    assert "threshold" not in made.manifest.training and "hreshold" not in (made.path / "card.md").read_text()


def test_a_search_asks_of_students_what_the_teacher_reaches_at_its_threshold(tuned: Run, several: Dataset) -> None:
    stored = tuned.metrics["validation"]["micro_f1"]
    assert _quality(Teacher.of(tuned), several, several.fingerprint, "validation") == stored
    assert _quality(Teacher.of(tuned), several, "other data", "validation") == pytest.approx(stored, abs=1e-6)
    logits = predict_logits(Teacher.of(tuned).loaded, several.validation.texts)
    at_half = several.task.score(logits, several.validation.labels)["micro_f1"]
    assert at_half != pytest.approx(stored, abs=1e-3)


def test_tuned_models_beside_others_are_told_of(tuned: Run, several: Dataset, tmp_path: Path) -> None:
    made = of(tuned, several, tmp_path / "out")
    note = (
        "labels are chosen at a threshold tuned on validation by teacher, and at 0.5 by student: a part of the "
        "difference in F1 is due to that"
    )
    assert note in seeds_table([made.student, tuned]).notes
    assert not any("below its teacher" in line for line in made.student.info["warnings"])
    subjects = find_subjects([tuned, made.student, tuned.model_path])
    assert [subject.tuned for subject in subjects] == [True, False, True]
    crossed = together({"student": [made.student], "teacher": [tuned]})
    assert crossed.notes == (note,) and crossed.to_dict()["notes"] == [note] and note in crossed.render()
    assert threshold_notes({"a": True, "b": True}) == threshold_notes({"a": False}) == ()


def test_a_student_of_a_decoder_is_refused_before_its_teacher_is_trained(
    tiny: ModuleType, several: Dataset, tmp_path: Path
) -> None:
    tiny.write_base(tmp_path / "gpt2", "gpt2")
    recipe = make_recipe({"teacher": tiny.QUICK, "student": QUICK | {"size": "1", "tune_threshold": True}})
    with pytest.raises(ConfigError, match="the last layer of a gpt2 has no bias"):
        distill(str(tmp_path / "gpt2"), several, out=tmp_path / "out", recipe=recipe)
    assert not (tmp_path / "out" / "teacher").exists()
