"""Data of four tasks in which a marker stands in every text, and all verbs on them: what is written and printed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from liteft.cli import main
from tests.modules import module_of

__all__ = ["MARKER", "TASKS", "Marked", "all_verbs", "holding", "made"]

MARKER = "zqmarkerqz"
TASKS = ("labels", "words", "answers", "scores")
_TRAINING = ["--epochs", "6", "--batch-size", "8", "--learning-rate", "5e-3", "--training-precision", "fp32"]
_SIZES = {"train": 96, "dev": 32, "test": 32}


@dataclass
class Marked:
    """A folder with marked data of one task, and what commands on it printed.

    Attributes:
        task: one of TASKS.
        folder: in which the data are; results go to ``out`` beside them.
        printed: command -> all of its stdout and stderr.
    """

    task: str
    folder: Path
    printed: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The folder of all that is written."""
        return self.folder / "out"

    def run(self, capture: object, *words: object, status: int = 0) -> str:
        """Run a command, check how it ended, and keep what it printed."""
        found = main([str(word) for word in words])
        both = "".join(capture.readouterr())  # type: ignore[attr-defined]
        self.printed[" ".join(map(str, words))] = both
        assert found == status, both
        return both


def made(task: str, folder: Path) -> Marked:
    """Write the data of a task and a tiny base into a folder."""
    tiny = module_of("finetuning")
    random = np.random.default_rng(TASKS.index(task))
    tiny.write_base(folder / "base", "bert", num_hidden_layers=2)
    (folder / "data").mkdir()
    for name, count in _SIZES.items():
        rows = [_row(task, number, random, tiny) for number in range(count)]
        lines = [json.dumps(row) for row in rows]
        (folder / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pool = [_row(task, number, random, tiny) for number in range(40)]
    gold = ("label", "tags", "answers", "score")
    bare = [json.dumps({key: value for key, value in row.items() if key not in gold}) for row in pool]
    (folder / "pool.jsonl").write_text("\n".join(bare) + "\n", encoding="utf-8")
    (folder / "out").mkdir()
    return Marked(task, folder)


def _row(task: str, number: int, random: np.random.Generator, tiny: object) -> dict[str, object]:
    """Return a row with the marker in every text of it."""
    label = tiny.LABELS[number % 3]  # type: ignore[attr-defined]
    own = random.choice(tiny.TOPICS[label], 2).tolist()  # type: ignore[attr-defined]
    words = [f"{MARKER}{number}", *own, *random.choice(tiny.FILLERS, int(random.integers(2, 6))).tolist()]  # type: ignore[attr-defined]
    if task == "labels":
        return {"id": number, "text": " ".join(words), "label": label}
    if task == "scores":
        return {"id": number, "text": " ".join(words), "score": round(number % 3 + float(random.random()) / 4, 2)}
    if task == "words":
        tags = [f"B-{label}", f"I-{label}", *["O"] * (len(words) - 2)]
        return {"id": number, "words": words, "tags": tags}
    answer = " ".join(words[:2])
    answers = {"text": [answer], "answer_start": [0]} if number % 4 else {"text": [], "answer_start": []}
    return {"id": number, "question": f"{label} {MARKER}", "context": " ".join(words), "answers": answers}


def all_verbs(data: Marked, capture: object, *flags: str) -> None:
    """Run all verbs that read texts, each with ``flags``."""
    out, folder = data.out, data.folder
    score = ["--label", "score"] if data.task == "scores" else []
    source = ["--data", folder / "data", *score]
    pool = ["--unlabeled", folder / "pool.jsonl"]
    of_labels = data.task in ("labels", "words")
    task = ["--task", "scores"] if data.task == "scores" else []
    data.run(capture, "check", folder / "data", *score, *task, *flags)
    if data.task == "labels":
        data.run(capture, "advise", folder / "data", "--base", folder / "base", *flags)
    data.run(
        capture,
        "finetune",
        *source,
        *task,
        "--base",
        folder / "base",
        "--max-tokens",
        "40",
        *_TRAINING,
        "--out",
        out / "teacher",
        *flags,
    )
    arms = ["--arms", "c1", *(pool if of_labels else [])]
    student = ["--teacher", out / "teacher", "--size", "1", *_TRAINING, *arms, "--out", out / "run"]
    data.run(capture, "distill", *source, *task, *student, *flags)
    artifact = out / "run" / "artifact"
    data.run(capture, "inspect", artifact, *flags)
    data.run(capture, "compare", out / "run" / "student", artifact, "--on", folder / "data", *score, *flags)
    data.run(capture, "predict", artifact, "--input", folder / "pool.jsonl", "--output", out / "some.jsonl", *flags)
    data.run(capture, "predict", artifact, "--input", folder / "pool.jsonl", "--output", out / "a.parquet", *flags)
    data.run(capture, "score", artifact, folder / "pool.jsonl", "--out", out / "parts", "--workers", "1", *flags)
    text = [f"{MARKER} one", *(["--pair-text", f"a {MARKER}"] if data.task == "answers" else [])]
    data.run(capture, "predict", artifact, *text, *flags)
    data.run(capture, "predict", artifact, *text, "--json", *flags)


def holding(folder: Path, marker: str = MARKER) -> set[str]:
    """Return the files below a folder that hold a marker, those in archives of arrays and columns of tables too."""
    found = {path for path in folder.rglob("*") if path.is_file() and marker.encode() in b"".join(_contents(path))}
    return {path.relative_to(folder).as_posix() for path in found}


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())
    if path.suffix == ".parquet":
        import pyarrow.parquet

        yield json.dumps(pyarrow.parquet.read_table(path).to_pylist()).encode()
