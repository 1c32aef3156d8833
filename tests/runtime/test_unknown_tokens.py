"""A tokenizer that gives ids beyond the model's table: one bad text must not fail the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from liteft.errors import DataError, InputError
from liteft.runtime import Classifier, load
from liteft.runtime.bulk import predict_file

BAD = "great service, thank you very much"
REFUSED = "holds 'you', and the model has no row for this token"


@pytest.fixture(scope="module")
def narrow(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    """A classifier whose table ends before the word "you"."""
    path = tmp_path_factory.mktemp("artifacts") / "narrow"
    tiny.write_artifact(path, embedding_rows=tiny.vocabulary()["you"])
    with load(path, threads=1) as loaded:
        yield loaded


def test_the_other_texts_of_a_stream_are_answered(narrow: Classifier, classifier: Classifier) -> None:
    texts = ["the parcel", BAD, "the app", BAD]
    found = list(narrow.stream(texts, on_error="null"))
    assert [each is None for each in found] == [False, True, False, True]
    assert [found[0], found[2]] == classifier.predict(["the parcel", "the app"])
    stream = narrow.stream(texts)
    assert next(stream) == found[0]
    with pytest.raises(InputError, match=f"text 1 {REFUSED}"):
        next(stream)


def test_the_text_and_the_token_are_named(narrow: Classifier) -> None:
    with pytest.raises(InputError, match=f"the text {REFUSED}") as caught:
        narrow.predict(BAD)
    assert "rows of the model's word embeddings" in caught.value.accepted
    with pytest.raises(InputError, match=f"text 2 {REFUSED}"):
        narrow.predict(["the parcel", "the app", BAD])
    with pytest.raises(InputError, match=f"text 1 {REFUSED}"):
        narrow.logits(["the parcel", BAD])


def test_a_token_that_is_cut_off_does_no_harm(narrow: Classifier) -> None:
    assert narrow.predict("the parcel " * 40 + BAD).truncated


def test_a_row_of_a_file_gets_no_prediction(narrow: Classifier, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("the parcel", BAD, "the app")))
    with pytest.raises(DataError, match=f"line 2,? {REFUSED}"):
        predict_file(narrow, source, target)
    done = predict_file(narrow, source, target, on_error="null", restart=True)
    rows = [json.loads(line)["prediction"] for line in target.read_text().splitlines()]
    assert (done.rows, done.refused, rows[1]) == (3, 1, None)
    assert all(rows[::2])


def test_nothing_is_looked_at_where_every_id_has_a_row(classifier: Classifier) -> None:
    assert classifier.manifest.embedding_rows is None
    assert classifier.predict(BAD).label in classifier.labels
