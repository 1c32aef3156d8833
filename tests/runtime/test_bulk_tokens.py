"""Tagging files: texts and words in, spans or CoNLL out, and killed runs resumed to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.data import read_rows
from liteft.errors import ConfigError, DataError
from liteft.runtime import Progress, TokenClassifier, predict_file
from tests.modules import module_of

TEXTS = ["the parcel is late", "", "naïve café 我的 😀 (4.2)", "the order " * 30, "app"]


@pytest.fixture(scope="module")
def tagger(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> TokenClassifier:
    fake = module_of("runtime", "tagging_engine.py")
    return fake.tagger_of(tiny.write_artifact(tmp_path_factory.mktemp("artifacts") / "words", **fake.fields()))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def spans_of(tagger: TokenClassifier, texts: list[Any]) -> list[list[dict[str, Any]]]:
    return [
        [
            {name: round(value, 6) if name == "score" else value for name, value in span.items()}
            for span in each.to_dict()["spans"]
        ]
        for each in tagger.predict(texts)
    ]


@pytest.mark.parametrize("written", [".jsonl", ".parquet"])
@pytest.mark.parametrize("given", [".jsonl", ".parquet"])
def test_spans_are_added_to_texts(tmp_path: Path, tagger: TokenClassifier, given: str, written: str) -> None:
    rows = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    done = predict_file(tagger, write(tmp_path / f"in{given}", rows), tmp_path / f"out{written}", part_rows=2)
    after = read(tmp_path / f"out{written}")
    assert [{"id": row["id"], "text": row["text"]} for row in after] == rows
    spans = [row["predicted_spans"] for row in after]
    assert spans == spans_of(tagger, TEXTS) and any(spans)
    assert (done.rows, done.empty, done.refused) == (5, 1, 0)


@pytest.mark.parametrize("given", [".jsonl", ".parquet"])
@pytest.mark.parametrize("column", ["words", "tokens", "pieces"])
def test_columns_of_words_are_read_as_words(tmp_path: Path, tagger: TokenClassifier, given: str, column: str) -> None:
    words = [["the", "parcel"], [], ["New York", "app"]]
    source = write(tmp_path / f"in{given}", [{"text": "x", column: each} for each in words])
    predict_file(tagger, source, tmp_path / "out.jsonl", text=None if column != "pieces" else column, prefix="new_")
    after = read(tmp_path / "out.jsonl")
    assert [row["new_predicted_spans"] for row in after] == spans_of(tagger, [tuple(each) for each in words])
    assert [row[column] for row in after] == words


def test_a_conll_file_has_a_word_and_its_tag_in_each_line(tmp_path: Path, tagger: TokenClassifier) -> None:
    words = [["the", "parcel"], [], ["New York", "app"], None]
    source = write(tmp_path / "in.jsonl", [{"words": each, "id": 1} for each in words])
    predict_file(tagger, source, tmp_path / "out.conll", part_rows=2, on_error="null")
    tags = [each.tags for each in tagger.predict([tuple(each) for each in words[:3] if each is not None])]
    shown = [["the", "parcel"], [], ["New_York", "app"], []]
    expected = "".join(
        "".join(f"{word} {tag}\n" for word, tag in zip(row, own, strict=True)) + "\n"
        for row, own in zip(shown, [*tags, ()], strict=True)
    )
    assert (tmp_path / "out.conll").read_text() == expected


@pytest.mark.parametrize("gold", ["tags", "spans", "ner_tags", "entities"])
@pytest.mark.parametrize("written", [".jsonl", ".parquet"])
def test_gold_labels_stay_beside_predictions_under_their_own_names(
    tmp_path: Path, tagger: TokenClassifier, gold: str, written: str
) -> None:
    rows: list[dict[str, Any]] = [{"tokens": ["the", "parcel"], gold: ["O", "B-x"]}, {"tokens": ["app"], gold: ["O"]}]
    predict_file(tagger, write(tmp_path / "in.jsonl", rows), tmp_path / f"out{written}")
    found = read(tmp_path / f"out{written}")
    assert [list(row) for row in found] == [["tokens", gold, "predicted_spans"]] * 2
    assert [row[gold] for row in found] == [row[gold] for row in rows]
    spans = [span for row in found for span in row["predicted_spans"]]
    assert spans and all(
        list(span) == ["entity_group", "score", "word", "start", "end", "word_start", "word_end"] for span in spans
    )


@pytest.mark.parametrize("name", ["out.txt", "out"])
def test_what_a_tagged_file_may_be_is_said(tmp_path: Path, tagger: TokenClassifier, name: str) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": "the parcel"}])
    with pytest.raises(ConfigError, match="is not a format for predictions") as caught:
        predict_file(tagger, source, tmp_path / name)
    assert caught.value.accepted["of labels of words"] == ".jsonl, .ndjson, .jsonlines, .parquet, .pq, .conll"


def test_a_csv_cannot_hold_spans_but_its_texts_can_be_tagged(tmp_path: Path, tagger: TokenClassifier) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text,n\nthe parcel,1\n")
    for name in ("out.csv", "out.tsv"):
        with pytest.raises(ConfigError, match=r"holds one value per cell, and this model finds any number of spans"):
            predict_file(tagger, source, tmp_path / name)
    predict_file(tagger, source, tmp_path / "out.jsonl")
    assert [row["predicted_spans"] for row in read(tmp_path / "out.jsonl")] == spans_of(tagger, ["the parcel"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.jsonl"]


@pytest.mark.parametrize("settings", [{"top_k": 2}, {"threshold": 0.5}, {"pair": "text"}])
def test_settings_of_models_of_whole_texts_are_refused(
    tmp_path: Path, tagger: TokenClassifier, settings: dict[str, Any]
) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": "x"}])
    with pytest.raises(ConfigError, match="was given"):
        predict_file(tagger, source, tmp_path / "out.jsonl", **settings)


def test_rows_without_a_text_are_named_or_null(tmp_path: Path, tagger: TokenClassifier) -> None:
    rows = [{"words": ["app"]}, {"words": ["app", 3]}, {"words": None}]
    source = write(tmp_path / "in.jsonl", rows)
    with pytest.raises(DataError, match=r"word 1 of .*in.jsonl, line 2, column 'words', is 3"):
        predict_file(tagger, source, tmp_path / "out.jsonl")
    done = predict_file(tagger, source, tmp_path / "out.jsonl", on_error="null", restart=True)
    spans = [row["predicted_spans"] for row in read(tmp_path / "out.jsonl")]
    assert done.refused == 2 and [each is None for each in spans] == [False, True, True]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".conll"])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    tmp_path: Path, tagger: TokenClassifier, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.runtime.progress._SECONDS", 0.0)
    source = write(tmp_path / "in.jsonl", [{"text": TEXTS[n % 5]} for n in range(40)])

    def stop(seen: Progress) -> None:
        if seen.rows >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_file(tagger, source, tmp_path / f"out{suffix}", part_rows=7, progress=stop)
    done = predict_file(tagger, source, tmp_path / f"out{suffix}", part_rows=7)
    predict_file(tagger, source, tmp_path / f"whole{suffix}", part_rows=7)
    assert done.resumed == 14 and done.rows == 40
    assert (tmp_path / f"out{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_models_of_roles_read_the_predicate_from_its_column(
    tmp_path: Path, tagger: TokenClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenClassifier, "marked", True)
    monkeypatch.setattr(tagger._words, "marked", True)
    source = tmp_path / "in.csv"
    source.write_text("text,predicate\nthe parcel is late,2\nthe app,1\n")
    predict_file(tagger, source, tmp_path / "out.jsonl")
    expected = spans_of(tagger, [("the parcel is late", 2), ("the app", 1)])
    assert [row["predicted_spans"] for row in read(tmp_path / "out.jsonl")] == expected
    source.write_text("text\nthe app\n")
    with pytest.raises(DataError, match="has no column 'predicate'"):
        predict_file(tagger, source, tmp_path / "other.jsonl")
