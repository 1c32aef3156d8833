"""A student of a private teacher over public texts: nothing but the teacher's answers takes part in its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset
from liteft.distillation.public_texts import kept_promise, public_start, require_public_pool
from liteft.distillation.teachers import Teacher
from liteft.distillation.training import StudentTraining
from liteft.distillation.transfer_set import transfer_set_of
from liteft.errors import ConfigError
from liteft.exporting import export
from liteft.finetuning.context import RunContext
from liteft.pipeline import export_student
from liteft.recipe_checks import require_student
from liteft.recipes import Recipe, StudentRecipe
from liteft.run import Run
from tests.distillation.students import distill

QUICK: dict[str, Any] = {"size": "1", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "training_precision": "fp32"}
PRIVATE = "w0 w1 w2 w3"


@pytest.fixture
def pool(tiny: ModuleType, tmp_path: Path) -> Path:
    texts, _ = tiny.make_texts(30, seed=89)
    path = tmp_path / "public.txt"
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def other_texts(tiny: ModuleType, dataset: Dataset) -> Dataset:
    """Return the same labels with other texts in every split, and other labels of them: another private set."""
    made = tiny.make_dataset(train=36, other=24, seed=7)
    for split in made.splits.values():
        split.texts[0] = PRIVATE
    return made


def test_another_private_set_makes_the_same_student_bit_for_bit(
    teacher: Run, dataset: Dataset, tiny: ModuleType, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def noted(training: Any, student: Any, unlabeled: Any) -> Any:
        rows = transfer_set_of(training, student, unlabeled)
        seen.extend(rows.split.texts)
        return rows

    monkeypatch.setattr("liteft.distillation.student.transfer_set_of", noted)
    given = QUICK | {"unlabeled": str(pool), "transfer": "pool"}
    runs = [
        distill(teacher, data, out=tmp_path / str(number), **given)
        for number, data in enumerate((dataset, other_texts(tiny, dataset)))
    ]
    weights = [(run.model_path / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    assert PRIVATE not in seen and set(seen) <= set(pool.read_text("utf-8").splitlines())
    first = runs[0].info
    assert first["transfer"] == "pool" and first["temperature"] == 1.0 and "privacy" not in first
    assert first["training_texts"] <= 30 and first["start"] == "the base's layers and a new head"
    assert runs[0].metrics["test"]["accuracy"] > 0.5


def test_a_student_that_learns_all_texts_is_another_one_with_another_private_set(
    teacher: Run, dataset: Dataset, tiny: ModuleType, pool: Path, tmp_path: Path
) -> None:
    given = QUICK | {"unlabeled": str(pool), "epochs": 1}
    runs = [
        distill(teacher, data, out=tmp_path / str(number), **given)
        for number, data in enumerate((dataset, other_texts(tiny, dataset)))
    ]
    weights = [(run.model_path / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] != weights[1]


def test_the_export_calibrates_and_trims_by_the_public_texts(
    teacher: Run, dataset: Dataset, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("liteft.pipeline.export", lambda *_, **settings: given.update(settings))
    student = StudentRecipe(size="1", unlabeled=str(pool), transfer="pool")
    recipe = Recipe(student=student, export={"vocabulary": 100})  # type: ignore[arg-type]
    export_student(teacher, tmp_path / "artifact", recipe, dataset, None)
    assert given["calibrate"].texts == given["texts"][0].texts == pool.read_text("utf-8").splitlines()
    assert len(given["texts"]) == 1


def test_a_teacher_with_an_epsilon_passes_it_on_to_such_a_student_and_warns_of_any_other(
    teacher: Run, dataset: Dataset, pool: Path, tmp_path: Path
) -> None:
    promised = Run(teacher.path, teacher.info | {"privacy": {"epsilon": 8.0, "delta": 1e-5}})  # type: ignore[operator]
    given = QUICK | {"epochs": 1, "unlabeled": str(pool)}
    run = distill(promised, dataset, out=tmp_path / "pool", transfer="pool", **given)
    assert run.info["privacy"]["epsilon"] == 8.0 and "teacher" in run.info["start"]
    lines: list[str] = []
    whole = distill(promised, dataset, out=tmp_path / "all", progress=lines.append, **given)
    assert "privacy" not in whole.info
    assert any("does not hold for its student" in line for line in lines)


def test_of_several_teachers_no_epsilon_is_kept(teacher: Run, dataset: Dataset, pool: Path, tmp_path: Path) -> None:
    promised = Run(teacher.path, teacher.info | {"privacy": {"epsilon": 8.0, "delta": 1e-5}})  # type: ignore[operator]
    first, other = Teacher.of(promised), Teacher.of(promised)
    several = replace(first, others=(other,))
    recipe, lines = Recipe(student=StudentRecipe(size="1", unlabeled=str(pool), transfer="pool")), list[str]()
    require_public_pool(several, dataset, recipe, lines.append)
    assert any("they add up" in line for line in lines)
    context = RunContext(tmp_path / "student")
    training = StudentTraining(several, dataset, recipe.student, context, recipe.export.form, "student", None, False)
    assert kept_promise(training) is None and kept_promise(replace(training, teacher=first)) is not None
    assert public_start(training) and not public_start(replace(training, teacher=first))


@pytest.mark.parametrize(
    "setting",
    [
        {"unlabeled": None},
        {"arms": ["c1"]},
        {"control": True},
        {"folds": 5},
        {"teacher_folds": 3},
        {"learning_rates": [1e-4, 2e-4]},
        {"rate_search": True},
        {"early_stopping": 3},
        {"choose_by": "log_loss"},
        {"class_weights": "balanced"},
        {"tune_threshold": True},
        {"hidden_weight": 1.0},
        {"relation_weight": 1.0},
        {"hard_weight": 0.5},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_what_would_show_it_private_texts_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="transfer=pool"):
        require_student(StudentRecipe(**({"size": "1", "unlabeled": "public.txt", "transfer": "pool"} | setting)))


def test_the_rest_of_the_labelled_texts_is_no_public_pool(
    teacher: Run, dataset: Dataset, pool: Path, tmp_path: Path
) -> None:
    few = Dataset("few", dataset.task, dataset.labels, dict(dataset.splits), subset=(4, 0), pool=dataset.test)
    with pytest.raises(ConfigError, match="labels_per_class"):
        distill(teacher, few, out=tmp_path / "student", transfer="pool", **(QUICK | {"unlabeled": str(pool)}))
    assert not (tmp_path / "student").exists()


def test_a_classifier_from_elsewhere_does_not_say_what_it_started_from(
    teacher: Run, dataset: Dataset, pool: Path, tmp_path: Path
) -> None:
    given = QUICK | {"unlabeled": str(pool), "transfer": "pool"}
    with pytest.raises(ConfigError, match="does not say what that was"):
        distill(teacher.model_path, dataset, out=tmp_path / "student", **given)
    assert np.all([not path.exists() for path in (tmp_path / "student",)])


def test_manifest_and_card_say_what_is_promised_and_what_is_not(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    said = {"epsilon": 7.99, "delta": 1e-5, "noise_multiplier": 0.9, "max_grad_norm": 1.0, "sampling": "Poisson"}
    said |= {"sample_rate": 0.02, "steps": 1000, "rows": 48, "accountant": "rdp, opacus 1.6.0", "trains": "the head"}
    promised = Run(teacher.path, teacher.info | {"privacy": said, "transfer": "pool"})  # type: ignore[operator]
    made = export(promised, tmp_path / "artifact", verify=dataset.validation, precision="fp32")
    assert made.manifest.privacy == said
    card = (made.path / "card.md").read_text("utf-8")
    assert "epsilon = 7.99, delta = 1e-05, of each row of the training split; 1,000 steps" in card
    assert "It does not cover whoever wrote several rows" in card and "no labelled text" in card
    plain = export(teacher, tmp_path / "plain", verify=dataset.validation, precision="fp32")
    assert plain.manifest.privacy is None and "epsilon" not in (plain.path / "card.md").read_text("utf-8")
