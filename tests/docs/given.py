"""Data of the pages whose commands read more than reviews: each function writes files into a page's folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.docs.worlds import CITIES, DAYS, NAMES, reviews

_SPLITS = {"train": 160, "validation": 40, "test": 40}


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tables(folder: Path) -> None:
    """Write lake/reviews/, two Parquet files with the columns id and body."""
    (folder / "lake" / "reviews").mkdir(parents=True)
    for number in range(2):
        texts = [text for text, _ in reviews(50, seed=10 + number)]
        table = pa.table({"id": [f"{number}-{row}" for row in range(len(texts))], "body": texts})
        pq.write_table(table, folder / "lake" / "reviews" / f"part-{number}.parquet")


def messages(folder: Path) -> None:
    """Write messages/, texts with spans of persons and cities, and new.jsonl, texts alone."""
    random = np.random.default_rng(1)
    for name, count in (_SPLITS | {"train": 480}).items():
        write_lines(folder / "messages" / f"{name}.jsonl", [_message(random) for _ in range(count)])
    write_lines(folder / "new.jsonl", [{"text": _message(random)["text"]} for _ in range(10)])


def _message(random: np.random.Generator) -> dict[str, Any]:
    name, city, day = (str(random.choice(each)) for each in (NAMES, CITIES, DAYS))
    text = f"{name} flies to {city} on {day} at {random.integers(1000, 2400)}"
    begin = text.index(city)
    spans = [{"start": 0, "end": len(name), "label": "person"}]
    return {"text": text, "spans": [*spans, {"start": begin, "end": begin + len(city), "label": "city"}]}


def questions(folder: Path) -> None:
    """Write questions/, SQuAD's documents about who paid and when."""
    random = np.random.default_rng(2)
    for name, count in _SPLITS.items():
        paragraphs = [_paragraph(random, f"{name}-{number}") for number in range(count // 2)]
        document = {"version": "1.1", "data": [{"title": name, "paragraphs": paragraphs}]}
        (folder / "questions").mkdir(exist_ok=True)
        (folder / "questions" / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")


def _paragraph(random: np.random.Generator, number: str) -> dict[str, Any]:
    name, city, day = (str(random.choice(each)) for each in (NAMES, CITIES, DAYS))
    context = f"{name} paid the bill in {city} on {day}. It was number {number}."
    asked = {"Who paid the bill?": name, "When was the bill paid?": day}
    answered = [
        {
            "id": f"{number}-{row}",
            "question": question,
            "answers": [{"text": text, "answer_start": context.index(text)}],
        }
        for row, (question, text) in enumerate(asked.items())
    ]
    return {"context": context, "qas": answered}


def pairs(folder: Path) -> None:
    """Write pairs/ (query, text, score), and new.jsonl without scores."""
    random = np.random.default_rng(3)
    for name, count in _SPLITS.items():
        write_lines(folder / "pairs" / f"{name}.jsonl", _scored(random, count))
    write_lines(folder / "new.jsonl", [{"query": row["query"], "text": row["text"]} for row in _scored(random, 8)])


def _scored(random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Return queries with four texts each, of which those of the query's label have the score 1."""
    labelled = reviews(200, seed=int(random.integers(1000)))
    rows = []
    for query, label in labelled[: count // 4]:
        for place in random.choice(np.arange(count // 4, 200), 4, replace=False):
            text, found = labelled[place]
            rows.append({"query": query, "text": text, "score": int(found == label)})
    return rows


def nothing_trained(folder: Path) -> None:
    """Remove the finished run: this page trains its own, with settings of its own."""
    shutil.rmtree(folder / "runs")


GIVEN: Mapping[str, Callable[[Path], None]] = {
    "docs/guides/answers.md": questions,
    "docs/guides/scores.md": pairs,
    "docs/guides/tables.md": tables,
    "docs/guides/tokens.md": messages,
    "docs/quickstart.md": nothing_trained,
}
"""Path of a page -> what writes its data."""
