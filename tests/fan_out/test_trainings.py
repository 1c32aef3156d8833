"""Seeds and shapes as Ray tasks end in the bits of the same trainings one after the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

import liteft
from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.errors import LiteftError
from liteft.finetuning import finetune
from liteft.frontier import Frontier, loop, search
from liteft.run import Run
from tests.fan_out.callbacks import DyingOnce
from tests.finetuning.conftest import QUICK, make_dataset, make_texts, write_base

pytestmark = pytest.mark.slow

STUDENT: dict[str, Any] = {"epochs": 3, "batch_size": 8, "training_precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_dataset(other=60)


@pytest.fixture(scope="module")
def teacher(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("teacher")
    base = write_base(folder / "base", "bert", num_hidden_layers=3, num_attention_heads=4)
    return finetune(base, dataset, out=folder / "run", **(QUICK | {"epochs": 8}))


def stored(folder: Path) -> dict[str, bytes]:
    """Everything of a run that does not tell the time."""
    names = ("model/model.safetensors", "model/config.json", "recipe.toml", "inputs.json", "predictions/test.csv")
    return {name: (folder / name).read_bytes() for name in names}


def seeds(teacher: Any, dataset: Dataset, out: Path, engine: str, **more: Any) -> liteft.Distillation:
    student = STUDENT | {"size": "1", "seeds": 2, "arms": ["c1", "c2"]} | more.pop("student", {})
    recipe = make_recipe({"student": student, "export": {"tolerance": 100.0}})
    return liteft.distill(teacher, dataset, out=out, recipe=recipe, until="student", engine=engine, **more)


def test_seeds_in_tasks_are_those_of_one_process_whatever_worker_dies(
    two_workers: None, teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "pool.txt").write_text("\n".join(make_texts(80, seed=9)[0]), encoding="utf-8")
    unlabeled = {"unlabeled": str(tmp_path / "pool.txt")}
    turn = seeds(teacher, dataset, tmp_path / "turn", "local", student=unlabeled)
    lines: list[str] = []
    dying = DyingOnce(9, tmp_path / "died")
    tasks = seeds(
        teacher, dataset, tmp_path / "ray", "ray", student=unlabeled, callbacks=[dying], progress=lines.append
    )
    assert (tmp_path / "died").is_file()
    kinds = ("student", "control", "c2")
    assert [*turn.arms] == [*tasks.arms] == [*kinds]
    folders = [f"student{seed}{arm}" for seed in ("", "-seed1") for arm in ("", "-control", "-c2")]
    for name in folders:
        assert stored(tmp_path / "turn" / name) == stored(tmp_path / "ray" / name)
    assert [run.path.name for kind in kinds for run in tasks.arms[kind]] == [
        run.path.name for kind in kinds for run in turn.arms[kind]
    ]
    assert any(line.startswith("student-seed1: ") for line in lines)
    assert sum("data: " in line for line in lines) == 1
    before = len(lines)
    again = seeds(teacher, dataset, tmp_path / "ray", "ray", student=unlabeled, progress=lines.append)
    assert again.to_dict() == tasks.to_dict()
    assert not any("validation accuracy" in line for line in lines[before:])  # nothing is trained again


def test_a_seed_that_fails_is_reported_as_in_one_process_and_the_others_are_kept(
    two_workers: None, teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    """The folder of the second seed holds something else."""
    errors = []
    for engine in ("local", "ray"):
        out = tmp_path / engine
        (out / "student-seed1").mkdir(parents=True)
        (out / "student-seed1" / "thesis.tex").write_text("years of work")
        with pytest.raises(LiteftError) as caught:
            seeds(teacher, dataset, out, engine, student={"seeds": 3})
        errors.append((type(caught.value), str(caught.value).replace(str(out), "OUT")))
        assert (out / "student" / "run.json").is_file() and (out / "student-c2" / "run.json").is_file()
    assert errors[0] == errors[1]
    assert (tmp_path / "ray" / "student-seed2" / "run.json").is_file()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer takes a millisecond, before its training and after."""

    def trained(artifact: Path, split: Any, **_rest: Any) -> float:
        return float(artifact.parent.name.split("x")[0])

    monkeypatch.setattr(loop, "latency_ms", trained)
    monkeypatch.setattr(
        loop, "untrained_latency_ms", lambda student, *_given, **_rest: student.config.num_hidden_layers
    )


def searched(teacher: Run, dataset: Dataset, out: Path, engine: str, **limits: Any) -> Frontier:
    student = STUDENT | limits.pop("student", {})
    recipe = make_recipe({"student": student, "search": {"embedding_bits": [8], **limits}})
    return search(teacher, dataset, out=out, recipe=recipe, engine=engine)


def without(out: Path, found: Frontier) -> Any:
    return json.loads(json.dumps(found.to_dict()).replace(str(out), "OUT"))


def test_a_search_whose_shapes_are_tasks_finds_what_a_search_in_one_process_finds(
    two_workers: None, timed: None, teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    one, two = tmp_path / "turn", tmp_path / "ray"
    turn = searched(teacher, dataset, one, "local", max_drop=90, max_ms=2.2)
    tasks = searched(teacher, dataset, two, "ray", max_drop=90, max_ms=2.2)
    assert without(one, turn) == without(two, tasks)
    assert {each.name for each in tasks.measured} >= {"1x32/int8"}
    for shape in (path.parent.name for path in one.glob("*/student")):
        assert stored(one / shape / "student") == stored(two / shape / "student")
    assert (one / "artifact" / "model.onnx").read_bytes() == (two / "artifact" / "model.onnx").read_bytes()
    again = searched(teacher, dataset, two, "ray", max_drop=90, max_ms=2.2)
    assert again.to_dict() == tasks.to_dict()


def test_a_shape_that_a_task_gives_up_is_given_up_as_in_one_process(
    two_workers: None, timed: None, teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    hopeless = {"learning_rate": 1e-7, "epochs": 4, "augmentation": "mask"}
    asked: dict[str, Any] = {"max_drop": 0.1, "margin": 0.5, "layers": [1, 2], "widths": [16], "student": hopeless}
    found = [
        without(tmp_path / engine, searched(teacher, dataset, tmp_path / engine, engine, **asked))
        for engine in ("local", "ray")
    ]
    assert found[0] == found[1]
    assert "given up at step" in json.dumps(found[1])
