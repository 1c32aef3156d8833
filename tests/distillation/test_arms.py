"""The arms beside a student: what each starts from, what it sees, and that all take as many steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from liteft.arms import ARMS, HEADED_START, OWN_START, arms_of
from liteft.config import read_recipe
from liteft.data import Dataset
from liteft.distillation.distilling import Students, distill_students
from liteft.errors import ConfigError, ModelError
from liteft.finetuning import finetune
from liteft.finetuning.context import RunContext
from liteft.finetuning.model import WEIGHTS
from liteft.recipes import Recipe, StudentRecipe
from liteft.run import Run

STILL: dict[str, Any] = {
    "size": "2",
    "epochs": 1,
    "batch_size": 16,
    "learning_rate": 1e-12,  # the weights stay those of the start
    "training_precision": "fp32",
    "weight_decay": 0.0,
}


def trained(
    teacher: Run | Path,
    dataset: Dataset,
    out: Path,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> Students:
    recipe = Recipe(student=StudentRecipe(**(STILL | settings)))
    context = RunContext(out / "student", progress)
    return distill_students(teacher, dataset, recipe, context, teacher_out=out / "teacher")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / WEIGHTS)


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, atol=1e-5)


def test_each_arm_starts_where_it_says(teacher: Run, base: Path, dataset: Dataset, tmp_path: Path) -> None:
    arms = trained(teacher, dataset, tmp_path, arms=["c0", "c1"]).arms
    assert list(arms) == ["student", "control", "c0"]
    name = "bert.encoder.layer.0.output.dense.weight"
    taught, raw = weights(teacher.model_path), weights(base)
    raw_name = name if name in raw else name.removeprefix("bert.")
    assert not close(taught[name], raw[raw_name])
    found = {kind: weights(runs[0].model_path) for kind, runs in arms.items()}
    assert close(found["student"][name], taught[name]) and close(found["control"][name], taught[name])
    assert close(found["c0"][name], raw[raw_name])
    assert close(found["control"]["classifier.weight"], taught["classifier.weight"])
    assert not close(found["c0"]["classifier.weight"], taught["classifier.weight"])
    assert {runs[0].info["steps"] for runs in arms.values()} == {3}


def test_arms_and_seeds_that_come_later_get_what_was_chosen_for_the_student(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_settings: dict[str, Any] = {"epochs": None, "learning_rate": None}
    with monkeypatch.context() as earlier:
        chosen = {"epochs": 1.0, "evaluations_per_epoch": 2, "learning_rate": 3e-5, "rate_search": False}
        earlier.setattr(
            "liteft.distillation.student.settled_student", lambda recipe, *_, **__: recipe.model_copy(update=chosen)
        )
        trained(teacher, dataset, tmp_path, **open_settings)
    arms = trained(teacher, dataset, tmp_path, arms=["c0"], seeds=2, **open_settings).arms
    for run in (run for runs in arms.values() for run in runs):
        recipe = read_recipe(run.path / "recipe.toml").student
        assert {name: getattr(recipe, name) for name in chosen} == chosen and run.info["steps"] == 3


def test_c0_does_not_start_from_a_classifier(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="arm c0 must not know the labels"):
        trained(teacher, dataset, tmp_path, size=None, student=str(teacher.model_path), arms=["c0"])
    assert not (tmp_path / "student").exists()


def test_c0_does_not_depend_on_the_teacher(base: Path, dataset: Dataset, tiny: Any, tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 0), ("other", 1)):
        teacher = finetune(base, dataset, out=tmp_path / name / "teacher", **(tiny.QUICK | {"epochs": 1, "seed": seed}))
        settings: dict[str, Any] = {"arms": ["c0"], "learning_rate": 1e-3}
        found.append(weights(trained(teacher, dataset, tmp_path / name, **settings).arms["c0"][0].model_path))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_c2_teaches_itself_and_brings_its_start_along(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "pool.txt").write_text("".join(f"{text} again\n" for text in dataset.train.texts), encoding="utf-8")
    settings: dict[str, Any] = {"arms": ["c2"], "unlabeled": str(tmp_path / "pool.txt"), "learning_rate": 1e-3}
    arms = trained(teacher, dataset, tmp_path, **settings).arms
    assert list(arms) == ["student", "control", "c2"]
    (control,), (itself,), (student,) = arms["control"], arms["c2"], arms["student"]
    assert itself.kind == "c2" and itself.info["teacher"]["weights_sha256"] == control.info["weights_sha256"]
    assert itself.info["training_texts"] == student.info["training_texts"] == 2 * control.info["training_texts"]
    assert itself.info["steps"] == student.info["steps"] == control.info["steps"]
    assert itself.info["parameters"] == student.info["parameters"]


def test_c2_starts_from_all_layers_of_its_control_whichever_those_were(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    arms = trained(teacher, dataset, tmp_path, arms=["c2"], layers=[1, 3]).arms
    name = "bert.encoder.layer.1.output.dense.weight"
    (control,), (itself,) = arms["control"], arms["c2"]
    assert close(weights(itself.model_path)[name], weights(control.model_path)[name])


def test_c0_of_a_classifier_from_elsewhere_is_refused(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not say what that is"):
        trained(teacher.model_path, dataset, tmp_path, arms=["c0"])


def test_c0_of_a_student_that_teaches_is_refused_before_anything_is_trained(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    (student,) = trained(teacher, dataset, tmp_path / "first", size="3").arms["student"]
    with pytest.raises(ConfigError, match="a run of the kind student does not say what that is"):
        trained(student, dataset, tmp_path / "second", arms=["c0"])
    assert not (tmp_path / "second" / "student").exists()


def test_c0_of_a_base_that_has_changed_is_refused(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.distillation.raw_start.weights_hash", lambda _: "0" * 64)
    with pytest.raises(ModelError, match="has other weights than when"):
        trained(teacher, dataset, tmp_path, arms=["c0"])


def test_c0_of_a_teacher_from_scratch_has_random_weights(dataset: Dataset, tiny: Any, tmp_path: Path) -> None:
    words = sorted({word.lower() for text in dataset.train.texts for word in text.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary), encoding="utf-8")
    scratch = {"from_scratch": True, "size": "2x32", "vocabulary_file": str(tmp_path / "vocab.txt")}
    teacher = finetune(None, dataset, out=tmp_path / "teacher", **(tiny.QUICK | {"epochs": 1} | scratch))
    (c0,) = trained(teacher, dataset, tmp_path, size="1", arms=["c0"]).arms["c0"]
    name = "bert.encoder.layer.0.output.dense.weight"
    assert not close(weights(c0.model_path)[name], weights(teacher.model_path)[name])


def test_arms_are_named_in_any_order_and_trained_in_one() -> None:
    assert arms_of(["c2", "c0"], control=False) == ("control", "c0", "c2")
    assert arms_of([], control=True) == ("control",) and arms_of([], control=False) == ()
    assert [arm.suffix for arm in ARMS.values()] == ["", "-control", "-c0", "-c2"]


def test_the_new_head_of_a_multi_label_student_starts_from_discriminants(
    base: Path, dataset: Dataset, tiny: Any, tmp_path: Path
) -> None:
    several = {
        name: replace(split, labels=np.eye(len(dataset.labels), dtype=bool)[split.labels])
        for name, split in dataset.splits.items()
    }
    data = replace(dataset, task="multi_label", splits=several)
    teacher = finetune(base, data, out=tmp_path / "teacher", **(tiny.QUICK | {"epochs": 1}))
    assert read_recipe(teacher.path / "recipe.toml").teacher.head == "lda"
    own = trained(teacher, data, tmp_path / "own", size=None, student=str(base), arms=["c1"]).arms
    assert own["student"][0].metrics["train"]["micro_f1"] > 0.5  # without a step that moves the weights
    assert own["control"][0].metrics["train"] == own["student"][0].metrics["train"]
    assert own["student"][0].start == OWN_START


def test_a_student_that_starts_from_a_classifier_says_whether_its_head_is_kept(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    told: list[str] = []
    named = str(teacher.model_path)
    kept = trained(teacher, dataset, tmp_path / "kept", size=None, student=named, arms=["c1"]).arms
    assert {run.start for runs in kept.values() for run in runs} == {HEADED_START}
    other = Path(shutil.copytree(teacher.model_path, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text(encoding="utf-8"))
    config["liteft"]["max_tokens"] -= 1
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    lost = trained(teacher, dataset, tmp_path / "lost", size=None, student=str(other), progress=told.append).arms
    assert lost["student"][0].start == OWN_START and any(
        "its max_tokens are not the teacher's" in line for line in told
    )
