"""Callbacks of every verb that trains: which trainings they see, and that one that stops a training resumes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import TrainerCallback

import liteft
from liteft.data import Dataset
from liteft.finetuning import finetune
from tests.finetuning.conftest import QUICK
from tests.finetuning.test_trainer_keys import SAVING, StopAt

Get = Callable[[str], Path]


class Counted(TrainerCallback):  # type: ignore[misc]
    """Counts the steps of each training that it sees."""

    def __init__(self) -> None:
        self.trainings: list[int] = []

    def on_train_begin(self, *_arguments: Any, **_rest: Any) -> None:
        self.trainings.append(0)

    def on_step_end(self, *_arguments: Any, **_rest: Any) -> None:
        self.trainings[-1] += 1


class Enough(TrainerCallback):  # type: ignore[misc]
    """Ends a training at step 8."""

    def on_step_end(self, _args: Any, state: Any, control: Any, **_rest: Any) -> None:
        if state.global_step == 8:
            control.should_training_stop = True


def test_every_verb_that_trains_takes_them() -> None:
    for verb in (liteft.finetune, liteft.distill, liteft.search, liteft.pretrain):
        assert "callbacks" in inspect.signature(verb).parameters
    for verb in (liteft.finetune, liteft.distill, liteft.search):
        assert {"metrics", "loss"} <= inspect.signature(verb).parameters.keys()


def test_a_distillation_shows_them_teacher_student_and_arms(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    seen = Counted()
    settings = {name: value for name, value in QUICK.items() if name != "max_tokens"}
    teacher = finetune(base("bert"), dataset, out=tmp_path / "teacher", callbacks=[seen], **QUICK)
    liteft.distill(
        teacher, dataset, out=tmp_path / "run", size="1", control=True, until="student", callbacks=seen, **settings
    )
    assert seen.trainings == [12, 12, 12]


def test_a_pretraining_shows_them_its_steps(tmp_path: Path) -> None:
    texts = [f"word{number % 7} follows word{number % 5} and word{number % 3}" for number in range(60)]
    seen = Counted()
    liteft.pretrain(
        texts,
        out=tmp_path / "run",
        size="1x32",
        vocabulary=60,
        max_steps=3,
        batch_size=4,
        max_tokens=16,
        callbacks=[seen],
    )
    assert seen.trainings == [3]


def test_a_training_that_one_ends_is_finished_and_resumes_in_the_same_bits(
    base: Get, dataset: Dataset, tmp_path: Path
) -> None:
    whole = finetune(base("bert"), dataset, out=tmp_path / "whole", callbacks=[Enough()], **SAVING)
    assert whole.info["steps"] == 8
    with pytest.raises(KeyboardInterrupt):
        finetune(base("bert"), dataset, out=tmp_path / "cut", callbacks=[Enough(), StopAt(5)], **SAVING)
    again = finetune(base("bert"), dataset, out=tmp_path / "cut", callbacks=[Enough()], **SAVING)
    assert again.info["weights_sha256"] == whole.info["weights_sha256"]
    np.testing.assert_array_equal(again.predictions("test")[0], whole.predictions("test")[0])
