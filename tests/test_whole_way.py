"""The whole way through the command line: finetune, distill, export, predict, compare, on a tiny model.

A text is filler words around words of its own topic, so a BERT of two layers with random weights learns the labels
in seconds. Steps build on each other, as a user's do: the folder that one test reads, an earlier fixture wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the whole way needs the extra 'train'")

import liteft
from liteft.cli import main

LABELS = ("red", "green", "blue")
TOPICS = {label: [f"{label}{number}" for number in range(4)] for label in LABELS}
FILLERS = [f"w{number}" for number in range(30)]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(w for words in TOPICS.values() for w in words), *FILLERS]
TRAINING = [
    "--epochs",
    "4",
    "--batch-size",
    "16",
    "--learning-rate",
    "2e-3",
    "--training-precision",
    "fp32",
    "--threads",
    "1",
]
COLUMNS = ["--text", "said", "--label", "colour"]


@dataclass(frozen=True)
class Way:
    """The folder of everything, and a way to run a command in it."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: object, status: int = 0) -> tuple[str, str]:
        """Run a command, check its exit status, and return stdout and stderr."""
        found = main([str(word) for word in words])
        printed = self.capture.readouterr()
        assert found == status, printed.err
        return printed.out, printed.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with messages.csv and vocab.txt."""
    folder = tmp_path_factory.mktemp("way")
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    rows = ["said,colour"]
    for number in range(360):
        label = LABELS[number % 3]
        words = [*rng.choice(TOPICS[label], 2), *rng.choice(FILLERS, rng.integers(2, 8))]
        rows.append(f"{' '.join(rng.permutation(words))},{label}")
    (folder / "messages.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def way(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """Commands in ``folder``; the teacher is trained by whoever comes first, and found finished by the others."""
    monkeypatch.chdir(folder)
    yield Way(folder, capsys)


def finetune(way: Way, *words: str, status: int = 0) -> tuple[str, str]:
    scratch = ["--from-scratch", "--size", "2x64", "--vocabulary-file", "vocab.txt", "--max-tokens", "16"]
    common = ["--data", "messages.csv", *COLUMNS, *scratch, *TRAINING]
    return way("finetune", *common, "--out", "teacher", *words, status=status)


def distill(way: Way, *words: str, status: int = 0) -> tuple[str, str]:
    common = ["--data", "messages.csv", *COLUMNS, "--teacher", "teacher", *TRAINING, "--control"]
    size = [] if "--size" in words else ["--size", "1"]
    return way("distill", *common, *size, "--out", "small", *words, status=status)


def test_a_base_becomes_a_teacher_that_knows_more_than_the_most_frequent_label(way: Way) -> None:
    out, _ = finetune(way, "--json")
    run = json.loads(out)
    assert run["metrics"]["test"]["accuracy"] > 0.8 > run["metrics"]["test"]["majority"]
    assert run["next"].startswith("liteft distill --data")
    assert (way.folder / "teacher" / "run.json").is_file()


def test_the_same_command_again_returns_the_finished_run(way: Way) -> None:
    first, _ = finetune(way, "--json")
    stamp = (way.folder / "teacher" / "run.json").stat().st_mtime_ns
    again, err = finetune(way, "--json")
    assert again == first
    assert "step" not in err
    assert (way.folder / "teacher" / "run.json").stat().st_mtime_ns == stamp


def test_a_finished_run_with_another_setting_is_an_error_that_shows_the_difference(way: Way) -> None:
    finetune(way)
    _, err = finetune(way, "--set", "teacher.weight_decay=0.1", status=1)
    assert err.splitlines()[-4].startswith("RunError: ")
    assert "weight_decay: 0.01 -> 0.1" in err


def test_a_teacher_becomes_a_student_a_control_and_a_verified_artifact(way: Way) -> None:
    finetune(way)
    document = json.loads(distill(way, "--json")[0])
    (student,), (control,) = document["arms"]["student"], document["arms"]["control"]
    assert (student["kind"], control["kind"]) == ("student", "control")
    assert student["parameters"] < document["teacher"]["parameters"]
    assert student["metrics"]["test"]["accuracy"] > 0.8
    manifest = document["artifact"]["manifest"]
    assert manifest["form"]["precision"] == "int8"
    assert manifest["verification"]["agreement"] > 0.97
    card = (way.folder / "small" / "artifact" / "card.md").read_text(encoding="utf-8")
    assert [name for name in manifest["floors"]["test"] if f"| test | floor: {name} |" not in card] == []
    assert len(manifest["floors"]["test"]) == 3
    out, err = distill(way)
    assert "95% intervals" in out and "same answer as the model" in out
    following = err.splitlines()[-1]
    assert following.startswith("next: liteft compare ")
    assert all(Path(word).exists() for word in following.split()[3:] if not word.startswith("--"))


def test_of_unlabelled_texts_those_to_label_next_are_written_beside_the_student(way: Way) -> None:
    finetune(way)
    rng = np.random.default_rng(1)
    pool = [" ".join([*rng.choice(FILLERS, 5), f"{rng.choice(LABELS)}{number % 4}"]) for number in range(60)]
    (way.folder / "pool.txt").write_text("\n".join(pool) + "\n", encoding="utf-8")
    words = ["--unlabeled", "pool.txt", "--epochs", "1", "--out", "pooled", "--json"]
    document = json.loads(distill(way, *words)[0])["to_label"]
    rows = [json.loads(line) for line in (way.folder / "pooled" / "to_label.jsonl").read_text("utf-8").splitlines()]
    assert [row["why"] for row in rows] == ["doubtful"] * len(document["doubtful"]) + ["sure"] * len(document["sure"])
    assert len(document["doubtful"]) > 20 and {row["text"] for row in rows} <= set(pool)
    assert all(pool[row["row"] - 1] == row["text"] for row in rows)
    of_the_run = liteft.to_label(way.folder / "pooled" / "student", pool, 5, sure=0)
    assert len(of_the_run.doubtful) == 5 and not of_the_run.sure


def test_a_size_deeper_than_the_teacher_is_refused(way: Way) -> None:
    finetune(way)
    _, err = distill(way, "--size", "3", status=2)
    assert "ConfigError: " in err
    assert "layers" in err


def test_a_run_is_exported_on_its_own_data_and_the_artifact_predicts(way: Way) -> None:
    finetune(way)
    out, _ = way("export", "teacher", "--out", "exported", "--precision", "fp32", "--json")
    assert json.loads(out)["manifest"]["verification"]["logit_difference"] < 1e-4
    out, _ = way("predict", "exported", "w1 blue2 blue0 w7", "red1 w3 red2")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["blue", "red"]
    way("predict", "exported", "--input", "messages.csv", "--output", "answers.csv", "--text", "said")
    rows = (way.folder / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "said,colour,prediction,score"
    right = [row.split(",")[1] == row.split(",")[2] for row in rows[1:]]
    assert len(right) == 360 and np.mean(right) > 0.8


def test_an_exported_run_folder_cannot_take_the_place_of_a_run(way: Way) -> None:
    finetune(way)
    _, err = way("export", "teacher", "--out", "teacher", status=1)
    assert "ArtifactError: " in err
    assert (way.folder / "teacher" / "run.json").is_file()


def test_models_are_compared_on_the_texts_that_no_training_saw(way: Way) -> None:
    finetune(way)
    way("export", "teacher", "--out", "exported", "--precision", "fp32", "--quiet")
    words: list[Any] = ["compare", "teacher", "exported", "--on", "messages.csv", "--rounds", "1"]
    document = json.loads(way(*words, "--seconds", "0.05", "--threads", "1", "--json")[0])
    teacher, exported = document["models"]
    stored = json.loads((way.folder / "teacher" / "run.json").read_text(encoding="utf-8"))
    assert document["texts"] == stored["data"]["rows"]["test"]
    assert teacher["metrics"]["accuracy"] == pytest.approx(stored["metrics"]["test"]["accuracy"])
    assert exported["agreement_with_first"] == 1
    assert exported["latency_p50_ms"] > 0
