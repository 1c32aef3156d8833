"""The two halves of predict: texts to token ids, token ids to logits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft import Encoded
from liteft.artifact import Artifact
from liteft.errors import ConfigError, DeviceError, InputError, ModelError
from liteft.runtime import Classifier, Stats, load

Exported = Callable[..., Artifact]
TEXTS = ["great service", "", "the parcel arrived two days late and the box was open", "app " * 90, "refund"] * 40


def words(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(f"w{n}" for n in random.integers(0, 40, random.integers(0, 12))) for _ in range(count)]


@pytest.fixture(params=["native", "onnxruntime"])
def both(request: pytest.FixtureRequest, native: Path, exported: Exported) -> Any:
    """The same artifact on either engine."""
    with load(exported("bert", "mean", "int8").path, device="cpu", backend=request.param, threads=2) as loaded:
        yield loaded


@pytest.fixture(params=["native", "onnxruntime"])
def both_pairs(request: pytest.FixtureRequest, native: Path, exported: Exported) -> Any:
    """A model of pairs on either engine."""
    with load(exported("bert", "cls", paired=True).path, device="cpu", backend=request.param, threads=1) as loaded:
        yield loaded


@pytest.fixture(params=["native", "onnxruntime"])
def both_without_types(request: pytest.FixtureRequest, native: Path, exported: Exported) -> Any:
    """A model of pairs that has no token types, on either engine."""
    artifact = exported("distilbert", "cls", paired=True)
    with load(artifact.path, device="cpu", backend=request.param, threads=1) as loaded:
        yield loaded


def test_encoding_and_running_is_predicting_to_the_bit(both: Classifier) -> None:
    texts = words(1500)
    logits = both.run(both.encode(texts))
    np.testing.assert_array_equal(logits, both.logits(texts))
    scores = np.array([prediction.score for prediction in both.predict(texts)], dtype=np.float32)
    np.testing.assert_array_equal(both.predict_proba(texts).max(axis=1), scores)


def test_pairs_are_encoded_and_run_to_the_bit(both_pairs: Classifier) -> None:
    first, second = words(50), words(50, seed=1)
    encoded = both_pairs.encode(first, second)
    assert encoded.type_ids.max() == 1
    np.testing.assert_array_equal(both_pairs.run(encoded), both_pairs.logits(first, second))
    listed = both_pairs.encode(list(zip(first, second, strict=True)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(listed.ids, encoded.ids)


def test_no_texts_are_no_rows(both: Classifier) -> None:
    encoded = both.encode([])
    assert len(encoded) == 0
    assert both.run(encoded).shape == (0, len(both.labels))
    assert both.predict_proba([]).shape == (0, len(both.labels))
    assert both.run(encoded).dtype == np.float32


def test_slices_and_joined_texts_get_the_same_bits(native: Path, exported: Exported) -> None:
    with load(exported("bert", "mean", "int8").path, backend="native", threads=2) as classifier:
        texts = words(300)
        encoded = classifier.encode(texts)
        whole = classifier.run(encoded)
        parts = [encoded[start : start + 7] for start in range(0, 300, 7)]
        np.testing.assert_array_equal(np.concatenate([classifier.run(part) for part in parts]), whole)
        np.testing.assert_array_equal(classifier.run(Encoded.join(reversed(parts)))[-7:], whole[:7])
        np.testing.assert_array_equal(classifier.run(encoded[::-1]), whole[::-1])
        one_by_one = [classifier.encode([text]) for text in texts]
        np.testing.assert_array_equal(classifier.run(Encoded.join(one_by_one)), whole)


def test_several_threads_encode_and_run_at_once(both: Classifier) -> None:
    lists = [words(1 + 9 * number, seed=number) for number in range(8)]
    wanted = [both.logits(texts) for texts in lists]
    start = threading.Barrier(8)

    def answered(texts: list[str]) -> np.ndarray:
        start.wait()
        return both.run(both.encode(texts))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for found, expected in zip(pool.map(answered, lists), wanted, strict=True):
                np.testing.assert_array_equal(found, expected)


def test_texts_are_cut_marked_and_not_padded(classifier: Classifier) -> None:
    encoded = classifier.encode(TEXTS)
    most = classifier.manifest.max_tokens
    assert encoded.lengths.max() == most
    assert len(encoded.ids) == encoded.lengths.sum() < most * len(TEXTS)
    assert encoded.truncated.tolist() == [text.startswith("app") for text in TEXTS]


def test_what_was_run_is_counted(artifact: Artifact) -> None:
    with load(artifact.path) as fresh:
        encoded = fresh.encode(TEXTS)
        assert fresh.stats == Stats()
        fresh.run(encoded)
        stats = fresh.stats
        assert (stats.texts, stats.truncated, stats.empty, stats.tokens) == (200, 40, 40, len(encoded.ids))
        assert list(fresh.stream(["", "app"])) and fresh.stats.empty == 41


def test_an_empty_pair_is_counted(pair_classifier: Classifier) -> None:
    before = pair_classifier.stats.empty
    pair_classifier.predict([("", ""), ("great", "")])
    assert pair_classifier.stats.empty == before + 1


def test_probabilities_of_one_label_a_text_sum_to_one(classifier: Classifier) -> None:
    found = classifier.predict_proba(TEXTS)
    assert (found.shape, found.dtype) == ((len(TEXTS), 4), np.float32)
    assert (found > 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_probabilities_of_several_labels_are_each_between_0_and_1(multi_classifier: Classifier) -> None:
    found = multi_classifier.predict_proba(TEXTS)
    assert ((found > 0) & (found < 1)).all()
    assert not np.allclose(found.sum(axis=1), 1)


def test_logits_without_an_activation_are_not_probabilities(new_artifact: Callable[..., Artifact]) -> None:
    with load(new_artifact(activation="none").path) as bare, pytest.raises(ConfigError, match="not probabilities"):
        bare.predict_proba(["great"])


@pytest.mark.parametrize("call", ["encode", "logits", "predict_proba"])
@pytest.mark.parametrize("bad", ["great", b"great", None, {"text": "great"}, {"great"}, (t for t in ["great"])])
def test_what_is_not_a_list_of_texts_is_refused(classifier: Classifier, call: str, bad: Any) -> None:
    with pytest.raises(InputError, match=rf"^{call} got (a value of type [a-z]+|None) for texts") as caught:
        getattr(classifier, call)(bad)
    assert caught.value.accepted == {"texts": "a list of strings"}
    assert caught.value.fix == ("[text] for one text" if bad == "great" else "a list of texts",)


def test_pairs_that_are_not_a_list_are_refused(pair_classifier: Classifier) -> None:
    with pytest.raises(InputError, match="encode got a value of type str for pairs"):
        pair_classifier.encode(["great"], "late")
    with pytest.raises(InputError, match="encode got 1 texts and 2 pairs"):
        pair_classifier.encode(["great"], ["late", "app"])


def test_a_bad_text_is_named_by_its_number(classifier: Classifier) -> None:
    with pytest.raises(InputError, match="text 1300 is None"):
        classifier.encode([*["great"] * 1300, None])  # type: ignore[list-item]


BROKEN: list[tuple[Any, str]] = [
    (["great"], "run got a value of type list"),
    (Encoded.of([[2, 9_999_999, 3]]), "text 0 holds the token id 9999999, which this model's tokenizer does not have"),
    (Encoded.of([[2, 3], [2, -1]]), "text 1 holds the token id -1"),
    (Encoded.of([[2, 3], []]), "text 1 has no tokens"),
    (Encoded.of([[2] * 33]), "text 0 has 33 tokens"),
    (Encoded(*(np.zeros(2, dtype=np.int32) for _ in range(2)), np.array([0, 3]), np.zeros(1, bool)), "do not fit"),
    (Encoded(*(np.zeros(2, dtype=np.int64) for _ in range(2)), np.array([0, 2]), np.zeros(1, bool)), "do not fit"),
    (Encoded(*(np.zeros(2, dtype=np.int32) for _ in range(2)), np.array([0, 3, 2]), np.zeros(2, bool)), "do not fit"),
]


@pytest.mark.parametrize(("bad", "part"), BROKEN, ids=[part for _, part in BROKEN])
def test_what_cannot_be_run_is_refused_in_three_parts(classifier: Classifier, bad: Any, part: str) -> None:
    with pytest.raises(InputError, match=part) as caught:
        classifier.run(bad)
    assert caught.value.accepted
    assert caught.value.fix or "no tokens" in part


@pytest.mark.parametrize("number", [2, -1, 2**31 - 1])
def test_type_ids_that_the_model_does_not_have_are_refused(both_pairs: Classifier, number: int) -> None:
    with pytest.raises(InputError, match=f"text 1 holds the type id {number}.") as caught:
        both_pairs.run(Encoded.of([[2, 3], [2, 4, 3]], [[0, 1], [0, number, 1]]))
    assert caught.value.accepted == {"type ids": "0 to 1"}
    assert caught.value.fix


def test_a_model_without_type_ids_takes_0_alone(both_without_types: Classifier) -> None:
    with pytest.raises(InputError, match=r"text 0 holds the type id 1\.") as caught:
        both_without_types.run(Encoded.of([[2, 3]], [[0, 1]]))
    assert caught.value.accepted == {"type ids": "0 alone: the model has no others"}


def test_a_pair_runs_as_encoded_where_the_model_has_no_type_ids(both_without_types: Classifier) -> None:
    encoded = both_without_types.encode(["great"], ["late"])
    assert not encoded.type_ids.any()
    np.testing.assert_array_equal(both_without_types.run(encoded), both_without_types.logits(["great"], ["late"]))


@pytest.mark.parametrize("logits", [[[0.0] * 4], None, "great"])
def test_what_is_not_an_array_makes_no_predictions(classifier: Classifier, logits: Any) -> None:
    with pytest.raises(InputError, match=r"predictions got (a value|None)"):
        classifier.predictions(logits)


def test_ids_that_the_model_has_no_row_for_are_refused(tiny: ModuleType, new_artifact: Callable[..., Artifact]) -> None:
    you = tiny.vocabulary()["you"]
    with load(new_artifact(embedding_rows=you).path) as narrow, pytest.raises(InputError, match="text 1 holds 'you'"):
        narrow.run(Encoded.of([[2, 3], [2, you, 3]]))


def test_a_closed_classifier_neither_encodes_nor_runs(artifact: Artifact) -> None:
    with load(artifact.path) as closed:
        encoded = closed.encode(["great"])
    for call in (
        lambda: closed.encode(["great"]),
        lambda: closed.run(encoded),
        lambda: closed.predict_proba(["great"]),
    ):
        with pytest.raises(DeviceError, match="the classifier was closed"):
            call()


def test_logits_become_what_predict_returns(classifier: Classifier) -> None:
    texts = ["a good film", "bad"]
    encoded = classifier.encode(texts)
    answers = classifier.predictions(classifier.run(encoded), truncated=encoded.truncated, top_k=2)
    assert answers == classifier.predict(texts, top_k=2)


def test_joined_requests_get_the_labels_that_each_gets_alone(classifier: Classifier) -> None:
    requests = [["a good film", "bad"], ["good"]]
    joined = Encoded.join([classifier.encode(texts) for texts in requests])
    answers = [answer.label for answer in classifier.predictions(classifier.run(joined))]
    assert answers == [answer.label for texts in requests for answer in classifier.predict(texts)]


def test_marks_of_truncation_become_true_or_false(classifier: Classifier) -> None:
    logits = np.zeros((2, len(classifier.labels)), dtype=np.float32)
    answers = classifier.predictions(logits, truncated=np.array([0, 2]))
    assert [answer.truncated for answer in answers] == [False, True]


def test_logits_that_are_not_finite_make_no_predictions(classifier: Classifier) -> None:
    logits = np.full((1, len(classifier.labels)), np.nan, dtype=np.float32)
    with pytest.raises(ModelError, match="not finite"):
        classifier.predictions(logits)


@pytest.mark.parametrize("shape", [(2,), (2, 7)])
def test_logits_of_another_shape_make_no_predictions(classifier: Classifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="predictions got logits of shape") as caught:
        classifier.predictions(np.zeros(shape, dtype=np.float32))
    assert "logits" in caught.value.accepted
