"""Which texts of a pool a student is trained on."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from liteft.data import Dataset, Split
from liteft.distillation import student as student_module
from liteft.distillation.selecting import different_texts, worth
from liteft.run import Run
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task
from tests.distillation.students import distill

SURE, UNSURE = [9.0, -9.0, -9.0], [0.1, 0.0, -0.1]


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_a_text_is_worth_most_if_the_teacher_is_sure_and_the_student_is_not(task: Task) -> None:
    found = worth(np.array([SURE, SURE, UNSURE, UNSURE]), np.array([UNSURE, SURE, UNSURE, SURE]), task)
    assert found[0] > 0.9 and (found[1:] < 0.1).all()


def test_of_equal_texts_the_first_counts() -> None:
    assert different_texts(Split("pool", ["a b", "A  b", "c", "a b"])).tolist() == [0, 2]
    assert different_texts(Split("pool", ["a", "a", "a"], ["x", "y", "x"])).tolist() == [0, 1]


def test_a_student_and_its_control_see_as_many_texts_of_a_pool_as_are_asked_for(
    teacher: Run, dataset: Dataset, tmp_path: Path, tiny: ModuleType
) -> None:
    texts, _ = tiny.make_texts(30, seed=99)
    (tmp_path / "pool.txt").write_text("\n".join([*texts, *texts]))
    settings = {**tiny.QUICK, "size": "2", "epochs": 1, "unlabeled": str(tmp_path / "pool.txt"), "pool_select": 12}
    del settings["max_tokens"]
    before = {*(teacher.path / "cache").glob("*")}
    student = distill(teacher, dataset, out=tmp_path / "s", control=True, **settings)
    control = tmp_path / "s-control" / "run.json"
    assert student.info["training_texts"] == len(dataset.train) + 12
    assert f'"steps": {student.info["steps"]}' in control.read_text()
    kept = {*(teacher.path / "cache").glob("*")} - before
    assert len(kept) == 2, "the teacher's logits of the pool and of what was picked, not the untrained student's"


class _Trimming(Exception):
    """Ends a training where its vocabulary would be trimmed."""


def test_tokens_are_those_of_the_whole_pool_of_which_each_arm_may_pick_other_texts(
    teacher: Run, dataset: Dataset, tmp_path: Path, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, _ = tiny.make_texts(30, seed=99)
    (tmp_path / "pool.txt").write_text("\n".join(texts))
    counted: list[int] = []

    def trim(_student: object, splits: list[Split], **_settings: object) -> None:
        counted.extend(len(split) for split in splits)
        raise _Trimming

    monkeypatch.setattr(student_module, "trim_classifier", trim)
    settings = {**tiny.QUICK, "size": "2", "epochs": 1, "unlabeled": str(tmp_path / "pool.txt"), "pool_select": 5}
    del settings["max_tokens"]
    with pytest.raises(_Trimming):
        distill(teacher, dataset, out=tmp_path / "s", vocabulary=60, **settings)
    assert counted == [len(dataset.train), 30]
