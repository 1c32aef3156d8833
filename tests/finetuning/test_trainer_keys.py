"""Keys of TrainingArguments in a recipe: which are taken, which are refused and why, and that they resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import TrainerCallback, TrainingArguments

import liteft
from liteft.cli.groups import Settings
from liteft.cli.settings import resolve
from liteft.config import make_recipe, read_recipe, write_recipe
from liteft.data import Dataset
from liteft.errors import ConfigError, RunError
from liteft.finetuning import finetune
from liteft.finetuning.trainer import training_arguments
from liteft.finetuning.trainer_keys import OPTIMIZERS, OWN, REASONS, SCHEDULES, TAKEN, checked_trainer
from liteft.recipes import PretrainRecipe, Recipe, StudentRecipe, TeacherRecipe
from tests.finetuning.conftest import QUICK
from tests.modules import module_of

SAVING: dict[str, Any] = {**QUICK, "evaluations_per_epoch": 2, "checkpoint_steps": 2}


class StopAt(TrainerCallback):  # type: ignore[misc]
    """Interrupts a training at the end of a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def refused(trainer: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        checked_trainer(TeacherRecipe(base="minilm", trainer=trainer, **settings), table="teacher")
    return str(caught.value)


def test_every_field_of_training_arguments_is_taken_or_has_a_reason() -> None:
    known = {field.name for field in fields(TrainingArguments)}
    assert known - set(TAKEN) - set(OWN) - set(REASONS) == set()
    assert set(TAKEN) <= known
    assert not set(TAKEN) & (set(OWN) | set(REASONS))


def test_a_key_that_liteft_has_names_that_key() -> None:
    for theirs, ours in OWN.items():
        assert ours in TeacherRecipe.model_fields
        assert f"teacher.{ours}" in refused({theirs: 1})
    assert "has a key of its own for it, teacher.learning_rate." in refused({"learning_rate": 1e-4})


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("output_dir", "in its own folder"),
        ("remove_unused_columns", "columns that its losses read"),
        ("dataloader_num_workers", "order of the rows"),
        ("torch_compile", "another order after a resume"),
        ("push_to_hub", "sends nothing to a hub"),
        ("deepspeed", "adds up the gradients"),
    ],
)
def test_a_key_that_would_break_a_run_is_refused_with_the_reason(key: str, reason: str) -> None:
    assert reason in refused({key: True})


def test_an_unknown_key_names_the_closest() -> None:
    assert "did you mean 'adam_beta1'?" in refused({"adam_beta_1": 0.8})
    assert "did you mean 'cosine_with_restarts'?" in refused({"lr_scheduler_type": "cosine_with_restart"})
    assert "did you mean 'rmsprop'?" in refused({"optim": "rms_prop"})


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        ({"adam_beta1": "high"}, "must be a number, got 'high'"),
        ({"max_grad_norm": True}, "must be a number, got True"),
        ({"logging_first_step": 1}, "must be true or false, got 1"),
        ({"lr_scheduler_kwargs": 3}, "must be a table, got 3"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "num_decay_steps"),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"cycles": 2}}, "cycles"),
        ({"optim": "sgd", "optim_args": "momentum"}, "teacher.trainer cannot be used"),
        ({"optim_args": "momentum=0.9"}, "the optimizer reads none of that"),
        ({"per_device_eval_batch_size": 0}, "per_device_eval_batch_size is 0."),
        ({"eval_accumulation_steps": 0}, "eval_accumulation_steps is 0."),
        ({"logging_steps": -1}, "finite, above 0"),
        ({"neftune_noise_alpha": None}, "neftune_noise_alpha is None."),
        ({"max_grad_norm": float("inf")}, "finite, 0 or more"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1."),
        ({"include_num_input_tokens_seen": "every"}, "all, non_padding, no"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": float("nan")}}, "finite"),
    ],
)
def test_values_that_trainer_cannot_use_are_refused_before_anything_is_read(trainer: Any, words: str) -> None:
    assert words in refused(trainer)


@pytest.mark.parametrize(
    ("trainer", "settings"),
    [
        ({"optim": "rmsprop"}, {"optimizer": "sgd"}),
        ({"lr_scheduler_type": "polynomial"}, {"schedule": "cosine"}),
        ({"weight_decay": 0.1}, {"weight_decay": 0.2}),
    ],
)
def test_a_key_and_the_recipes_own_for_the_same_are_refused(trainer: Any, settings: Any) -> None:
    assert "set the same thing" in refused(trainer, **settings)


def test_keys_reach_trainer() -> None:
    keys = {"lr_scheduler_type": "polynomial", "optim": "rmsprop", "adam_beta2": 0.95, "weight_decay": 0.3}
    recipe = TeacherRecipe(base="x", epochs=1, learning_rate=1e-3, evaluations_per_epoch=1, trainer=keys)
    made = training_arguments(recipe, folder=Path("nowhere"), texts=64)
    assert {name: getattr(made, name) for name in keys} == keys


def test_set_and_a_recipe_file_lay_their_keys_over_each_other(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('[teacher.trainer]\nadam_beta1 = 0.8\noptim = "sgd"\n', encoding="utf-8")
    assigned = [
        "teacher.trainer.optim=rmsprop",
        "teacher.trainer.lr_scheduler_kwargs={num_cycles = 2}",
        "student.trainer.adam_epsilon=1e-6",
    ]
    recipe = resolve(Settings(recipe=str(file), assigned=assigned), teacher={}, student={}, data={})
    kept = {"adam_beta1": 0.8, "optim": "rmsprop", "lr_scheduler_kwargs": {"num_cycles": 2}}
    assert recipe.teacher.trainer == kept
    assert recipe.student.trainer == {"adam_epsilon": 1e-6}
    write_recipe(recipe, file)
    assert read_recipe(file) == recipe
    with pytest.raises(ConfigError, match=r"teacher\.trainer\.optim is given twice"):
        resolve(Settings(assigned=["teacher.trainer.optim=sgd", "teacher.trainer.optim=rmsprop"]), teacher={})


def test_a_table_within_a_table_is_a_table() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.trainer must be a table of keys and values, got 'sgd'"):
        make_recipe({"teacher": {"trainer": "sgd"}})


@pytest.mark.parametrize("name", ["teacher", "student", "pretrain"])
def test_every_training_checks_its_keys_before_it_reads_anything(name: str, tmp_path: Path) -> None:
    tables = {"teacher": TeacherRecipe, "student": StudentRecipe, "pretrain": PretrainRecipe}
    recipe = Recipe(**{name: tables[name](trainer={"seed": 1})})
    with pytest.raises(ConfigError, match=rf"{name}\.trainer\.seed cannot be set"):
        if name == "pretrain":
            liteft.pretrain("nowhere.txt", out=tmp_path / "out", recipe=recipe, size="1x32")
        elif name == "teacher":
            liteft.finetune("nowhere", "nowhere.csv", out=tmp_path / "out", recipe=recipe)
        else:
            liteft.distill("nowhere", "nowhere.csv", out=tmp_path / "out", recipe=recipe, size="1")


KEYS: dict[str, dict[str, Any]] = {
    "restarts": {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
    "decayed": {"optim": "rmsprop", "weight_decay": 0.3, "max_grad_norm": 0.1},
    "noisy": {"neftune_noise_alpha": 5.0, "logging_steps": 3, "per_device_eval_batch_size": 3},
}


def resumed(base: Path, dataset: Dataset, folder: Path, trainer: dict[str, Any]) -> None:
    """Assert that a training that is interrupted at step 7 ends as one that is not."""
    whole = finetune(base, dataset, out=folder / "whole", trainer=trainer, **SAVING)
    with pytest.raises(KeyboardInterrupt):
        finetune(base, dataset, out=folder / "cut", trainer=trainer, callbacks=[StopAt(7)], **SAVING)
    again = finetune(base, dataset, out=folder / "cut", trainer=trainer, **SAVING)
    assert '"resumed": true' in (again.path / "log.jsonl").read_text()
    assert again.info["weights_sha256"] == whole.info["weights_sha256"]
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(again.predictions(split)[0], whole.predictions(split)[0])


@pytest.mark.parametrize("name", KEYS)
def test_a_run_with_keys_of_trainer_resumes_in_the_same_bits(
    name: str, base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    resumed(base("bert"), dataset, tmp_path, KEYS[name])
    other = {**KEYS[name], "adam_epsilon": 1e-7}
    with pytest.raises(RunError) as caught:
        finetune(base("bert"), dataset, out=tmp_path / "whole", trainer=other, **SAVING)
    assert caught.value.accepted == {"trainer.adam_epsilon": "None -> 1e-07"}


def test_noise_reaches_the_embeddings_under_a_pooled_mean(dataset: Dataset, tmp_path: Path) -> None:
    folder = module_of("finetuning").write_base(tmp_path / "base", "bert")
    runs = [
        finetune(folder, dataset, out=tmp_path / f"run{len(trainer)}", trainer=trainer, pooling="mean", **QUICK)
        for trainer in ({}, {"neftune_noise_alpha": 5.0})
    ]
    assert runs[0].info["pooling"] == "mean"
    assert runs[0].info["weights_sha256"] != runs[1].info["weights_sha256"]


def test_keys_change_the_training(base: Callable[[str], Path], dataset: Dataset, tmp_path: Path) -> None:
    runs = [finetune(base("bert"), dataset, out=tmp_path / name, trainer=KEYS[name], **QUICK) for name in KEYS]
    assert len({run.info["weights_sha256"] for run in runs}) == len(KEYS)


@pytest.mark.slow
@pytest.mark.parametrize("optim", OPTIMIZERS)
def test_every_optimizer_resumes_in_the_same_bits(
    optim: str, base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    if any(word in optim for word in ("8bit", "32bit", "bnb", "ademamix", "lion")):
        pytest.importorskip("bitsandbytes", reason="this optimizer is that of bitsandbytes")
    resumed(base("bert"), dataset, tmp_path, {"optim": optim})


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_resumes_in_the_same_bits(
    schedule: str, base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    needed = {"min_lr_rate": 0.1} if "min_lr" in schedule else {}
    needed |= {"num_decay_steps": 4} if schedule == "warmup_stable_decay" else {}
    resumed(base("bert"), dataset, tmp_path, {"lr_scheduler_type": schedule, "lr_scheduler_kwargs": needed})
