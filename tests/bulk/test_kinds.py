"""Every kind of model scores tables: the columns are those that ``predict_file`` adds, with the same values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.bulk import score
from liteft.errors import ConfigError
from liteft.runtime import load, predict_file
from tests.modules import module_of

tiny = module_of("runtime", "tiny.py")
scored_rows = module_of("bulk").scored_rows
TEXTS = ["the parcel is late", "", "naïve café 我的 😀 (4.2)", "the order " * 30, "app", "the parcel is late"]


def several(path: Path) -> Any:
    return load(tiny.write_artifact(path, labels=tuple("abcdef"), multi=True).path, threads=1)


def numbers(path: Path) -> Any:
    return load(tiny.write_artifact(path, labels=("score",), task="scores", activation="none").path, threads=1)


def pairs(path: Path) -> Any:
    return load(tiny.write_artifact(path, labels=("same", "different"), paired=True).path, threads=1)


def words(path: Path) -> Any:
    fake = module_of("runtime", "tagging_engine.py")
    return fake.tagger_of(tiny.write_artifact(path, **fake.fields()))


def questions(path: Path) -> Any:
    answers = module_of("runtime", "test_answers.py")
    fake = module_of("runtime", "tagging_engine.py")
    return answers.answerer(tiny.write_artifact(path, **answers.fields()), fake)


ONE = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
TWO = [{"id": n, "text_a": text, "text_b": f"{n % 2}"} for n, text in enumerate(TEXTS)]
ASKED = [{"id": n, "question": "what is late", "context": text} for n, text in enumerate(TEXTS)]
SPLIT = [{"id": n, "tokens": text.split() or ["x"]} for n, text in enumerate(TEXTS)]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize(
    ("kind", "rows", "settings", "added"),
    [
        (several, ONE, {"threshold": 0.3, "top_k": 2}, ["predictions", "scores", "top"]),
        (numbers, ONE, {}, ["prediction"]),
        (pairs, TWO, {"top_k": 1}, ["prediction", "score", "top"]),
        (words, ONE, {}, ["predicted_spans"]),
        (words, SPLIT, {}, ["predicted_spans"]),
        (questions, ASKED, {"top_k": 2}, ["answer", "score", "start", "end", "top"]),
    ],
)
def test_tables_get_what_files_get(
    tmp_path: Path,
    kind: Callable[[Path], Any],
    rows: list[dict[str, Any]],
    settings: dict[str, Any],
    added: list[str],
    suffix: str,
) -> None:
    source = tmp_path / f"in{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), source)
    else:
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with kind(tmp_path / "artifact") as model:
        predict_file(model, source, tmp_path / "one.parquet", **settings)
        done = score(model, source, tmp_path / "out", **settings)
    found, wanted = scored_rows(tmp_path / "out"), pq.read_table(tmp_path / "one.parquet").to_pylist()
    assert list(found[0]) == [*rows[0], *added]
    assert found == wanted
    assert done.repeated == (0 if kind is pairs else 1) and done.failed == ()


def test_an_array_of_thresholds_reaches_the_workers(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(text for text in TEXTS if text))
    with several(tmp_path / "artifact") as model:
        settings = {"threshold": np.array([0.1, 1.0] * 3, dtype=np.float32)}
        score(model, tmp_path / "in.txt", tmp_path / "here", **settings)
        score(model.path, tmp_path / "in.txt", tmp_path / "out", workers=1, threads=1, **settings)
    assert scored_rows(tmp_path / "out") == scored_rows(tmp_path / "here")
    assert {label for row in scored_rows(tmp_path / "out") for label in row["predictions"]} <= set("ace")


def test_documents_of_questions_have_a_row_for_each(tmp_path: Path) -> None:
    asked = [{"id": "a", "question": "who", "answers": []}, {"id": "b", "question": "what is late", "answers": []}]
    document = {"data": [{"title": "x", "paragraphs": [{"context": "the parcel is late", "qas": asked}]}]}
    (tmp_path / "in.json").write_text(json.dumps(document))
    with questions(tmp_path / "artifact") as model:
        done = score(model, tmp_path / "in.json", tmp_path / "out", keep=["id"])
    assert done.rows == 2 and [row["id"] for row in scored_rows(tmp_path / "out")] == ["a", "b"]


def test_settings_of_other_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\na\n")
    with words(tmp_path / "artifact") as model, pytest.raises(ConfigError, match="this model tags words"):
        score(model, tmp_path / "in.csv", tmp_path / "out", top_k=2)
