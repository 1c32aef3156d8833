from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteft.artifact import Artifact
from liteft.encoded import Encoded
from liteft.errors import ConfigError, DeviceError, InputError, ModelError
from liteft.runtime import Classifier, Prediction, load
from liteft.runtime.onnx_engine import OnnxEngine

WORDS = st.sampled_from(["order", "parcel", "the", "app", "refund", "great", "!", "café", "中", "zzz", "4.2"])
TEXTS = st.lists(st.lists(WORDS, max_size=40).map(" ".join), max_size=40)


def test_a_text_gives_a_prediction_and_a_list_gives_a_list(classifier: Classifier) -> None:
    one = classifier.predict("great service")
    assert isinstance(one, Prediction)
    assert one.label in classifier.labels
    assert one.labels == (one.label,)
    assert 0 < one.score <= 1
    assert one.backend == "onnxruntime"
    assert classifier.predict([]) == []
    assert [p.label for p in classifier.predict(["great service"])] == [one.label]


def test_scores_are_the_softmax_of_the_logits(classifier: Classifier) -> None:
    logits = classifier.logits(["the app closes"])
    assert logits.dtype == np.float32
    assert logits.shape == (1, 4)
    exponents = np.exp(logits[0] - logits[0].max())
    prediction = classifier.predict("the app closes")
    assert prediction.score == pytest.approx(float(exponents.max() / exponents.sum()), abs=1e-6)
    assert prediction.label == classifier.labels[int(logits[0].argmax())]


@settings(deadline=None, max_examples=40)
@given(texts=TEXTS)
def test_a_text_alone_equals_the_text_in_a_batch_and_order_is_kept(classifier: Classifier, texts: list[str]) -> None:
    together = classifier.logits(texts)
    assert together.shape == (len(texts), 4)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(classifier.logits([text])[0], together[row], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(texts=TEXTS, window=st.integers(1, 50), token_budget=st.integers(1, 500))
def test_a_stream_keeps_order_whatever_its_window_and_budget(
    classifier: Classifier, texts: list[str], window: int, token_budget: int
) -> None:
    streamed = list(classifier.stream(texts, window=window, token_budget=token_budget))
    assert [p.label for p in streamed if p] == [p.label for p in classifier.predict(texts)]
    scores = np.array([p.score for p in streamed if p])
    np.testing.assert_allclose(scores, [p.score for p in classifier.predict(texts)], atol=1e-5)


def test_a_stream_reads_no_further_than_its_window(classifier: Classifier) -> None:
    read = itertools.count()
    endless = (f"parcel {n}" for n in read)
    stream = classifier.stream(endless, window=10)
    assert next(read) == 0  # nothing is read before the first result is asked for
    for _ in range(25):
        assert next(stream) is not None
    assert next(read) == 31


def test_a_window_of_long_texts_is_bounded_by_its_characters(classifier: Classifier) -> None:
    read = itertools.count()
    stream = classifier.stream(("great " * 200_000 + str(n) for n in read), window=1000)
    next(stream)
    assert next(read) <= 5


def test_batches_stay_within_the_token_budget(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, int]] = []
    run = OnnxEngine.run

    def recorded(engine: OnnxEngine, encoded: Encoded) -> np.ndarray:
        shapes.append((len(encoded), int(encoded.lengths.max())))
        return run(engine, encoded)

    monkeypatch.setattr(OnnxEngine, "run", recorded)
    texts = ["parcel " * (n % 25) for n in range(200)]
    with load(artifact.path) as fresh:
        list(fresh.stream(texts, token_budget=64))
    assert sum(count for count, _ in shapes) == 200
    assert all(count * width <= 64 for count, width in shapes)


def test_padding_is_counted_and_small(artifact: Artifact) -> None:
    with load(artifact.path, threads=2) as fresh:
        list(fresh.stream("parcel " * (n * 7 % 25) for n in range(1000)))
        stats = fresh.stats
    assert stats.texts == 1000
    assert stats.padded_tokens >= stats.tokens
    assert stats.padding_share < 0.05


def test_top_k_holds_the_best_labels_best_first(classifier: Classifier) -> None:
    prediction = classifier.predict("please refund the payment", top_k=3)
    assert len(prediction.top) == 3
    assert prediction.top[0] == (prediction.label, prediction.score)
    assert [score for _, score in prediction.top] == sorted((s for _, s in prediction.top), reverse=True)
    everything = classifier.predict("please refund the payment", top_k=99)
    assert {label for label, _ in everything.top} == set(classifier.labels)
    assert classifier.predict("please refund the payment").top == ()


def test_multi_label_takes_every_label_over_the_threshold(multi_classifier: Classifier) -> None:
    text = "the parcel arrived late"
    scores = 1 / (1 + np.exp(-multi_classifier.logits([text])[0].astype(np.float64)))
    for threshold in (None, 0.01, 0.3, 0.999):
        over = scores > (0.5 if threshold is None else threshold)
        wanted = tuple(label for label, yes in zip(multi_classifier.labels, over, strict=True) if yes)
        assert multi_classifier.predict(text, threshold=threshold).labels == wanted
    assert multi_classifier.predict(text, threshold=1.0).labels == ()
    assert multi_classifier.predict(text, threshold=1.0).label == multi_classifier.labels[int(scores.argmax())]


def test_multi_label_takes_a_threshold_for_each_label(multi_classifier: Classifier) -> None:
    thresholds = [1.0] * 5 + [0.0]
    assert multi_classifier.predict("great", threshold=thresholds).labels == ("f",)
    for column in (np.array(thresholds), pd.Series(thresholds)):
        assert multi_classifier.predict("great", threshold=column).labels == ("f",)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"top_k": 0}, "got 0"),
        ({"top_k": 1.5}, "got 1.5"),
        ({"top_k": True}, "got True"),
        ({"threshold": 0.5}, "one label for every text"),
    ],
)
def test_wrong_settings_are_refused(classifier: Classifier, settings: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        classifier.predict("great", **settings)
    with pytest.raises(ConfigError, match=part):
        classifier.stream(["great"], **settings)  # at once, not at the first result


@pytest.mark.parametrize("threshold", ["high", "0.5", True, [0.5, 0.5], [True] * 6, float("nan"), None.__class__])
def test_wrong_thresholds_are_refused(multi_classifier: Classifier, threshold: Any) -> None:
    with pytest.raises(ConfigError, match="neither a number nor one number"):
        multi_classifier.predict("great", threshold=threshold)


@pytest.mark.parametrize("threshold", [50, -1, [0.5, 0.5, 0.5, 0.5, 0.5, 1.5]])
def test_thresholds_are_probabilities(multi_classifier: Classifier, threshold: Any) -> None:
    with pytest.raises(ConfigError, match="threshold must be from 0 to 1, got"):
        multi_classifier.predict("great", threshold=threshold)


def test_a_table_is_not_read_as_the_names_of_its_columns(classifier: Classifier) -> None:
    table: Any = pd.DataFrame({"text": ["great"]})
    for call in (classifier.predict, classifier.logits, classifier.stream):
        with pytest.raises(InputError, match="a value of type DataFrame") as caught:
            call(table)
        assert "a column of it" in str(caught.value)
    assert len(classifier.predict(table["text"])) == 1


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"window": 0}, "window must be a positive integer, got 0"),
        ({"token_budget": -1}, "token_budget must be a positive integer, got -1"),
        ({"on_error": "skip"}, "'skip'"),
    ],
)
def test_wrong_stream_settings_are_refused_at_once(classifier: Classifier, settings: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        classifier.stream(["great"], **settings)


def test_truncation_is_flagged_and_counted(new_artifact: Callable[..., Artifact]) -> None:
    with load(new_artifact(max_tokens=8).path) as short:
        cut, whole = short.predict(["great service " * 50, "great"])
        assert (cut.truncated, whole.truncated) == (True, False)
        assert short.stats.truncated == 1
        assert short.predict("great service " * 50).score == pytest.approx(cut.score, abs=1e-6)


@pytest.mark.parametrize(("side", "kept"), [("right", "great great great"), ("left", "late late late")])
def test_truncation_keeps_the_side_that_the_manifest_names(
    new_artifact: Callable[..., Artifact], side: str, kept: str
) -> None:
    with load(new_artifact(max_tokens=5, truncation_side=side).path) as short:
        cut = short.logits(["great great great " * 9 + "late late late " * 9])
        np.testing.assert_allclose(cut, short.logits([kept]), atol=1e-5)


def test_pairs_need_both_texts_and_differ_by_order(pair_classifier: Classifier) -> None:
    one = pair_classifier.predict(("great", "late"))
    assert isinstance(one, Prediction)
    assert pair_classifier.predict(["great", "late"]) == one  # a list of two strings is a pair here
    several = pair_classifier.predict([("great", "late"), ["late", "great"]])
    assert [type(p) for p in several] == [Prediction, Prediction]
    logits = pair_classifier.logits(["great", "late"], ["late", "great"])
    assert not np.allclose(logits[0], logits[1])


def test_two_strings_in_a_list_are_two_texts_without_pairs(classifier: Classifier) -> None:
    assert len(classifier.predict(["great", "late"])) == 2
    with pytest.raises(InputError, match="is a pair, but this model reads single texts"):
        classifier.predict(("great", "late"))


def test_arrays_and_other_collections_are_lists(classifier: Classifier) -> None:
    wanted = classifier.predict(["great", "late", "app"])
    assert classifier.predict(np.array(["great", "late", "app"])) == wanted
    assert classifier.predict(("great", "late", "app")) == wanted


BAD = [
    (None, "text 1 is None"),
    (float("nan"), "text 1 is nan"),
    (b"great", "text 1 is a value of type bytes"),
    (7, "text 1 is 7"),
    (["great"], "text 1 is a value of type list"),
    (("a", "b"), "text 1 is a pair"),
    ("half \ud83d a smile", r"position 5: a lone surrogate, U\+D83D"),
]


@pytest.mark.parametrize(("bad", "part"), BAD, ids=[part for _, part in BAD])
def test_what_is_no_text_is_refused_by_its_number(classifier: Classifier, bad: Any, part: str) -> None:
    with pytest.raises(InputError, match=part):
        classifier.predict(["great", bad])
    with pytest.raises(InputError, match=part):
        classifier.logits(["great", bad])
    stream = classifier.stream(["great", bad, "late"])
    assert next(stream) is not None  # what came before is handed out
    with pytest.raises(InputError, match=part):
        next(stream)


@pytest.mark.parametrize(("bad", "part"), BAD, ids=[part for _, part in BAD])
def test_a_stream_gives_null_for_what_is_no_text(artifact: Artifact, bad: Any, part: str) -> None:
    with load(artifact.path) as fresh:
        first, second, third = fresh.stream([bad, "great", bad], on_error="null")
        assert first is None
        assert isinstance(second, Prediction)
        assert third is None
        assert (fresh.stats.refused, fresh.stats.texts) == (2, 1)


@pytest.mark.parametrize("bad", [None, 3, b"great", {"text": "great"}, {"great"}, (t for t in ["great"])])
def test_predict_refuses_what_is_neither_text_nor_list(classifier: Classifier, bad: Any) -> None:
    with pytest.raises(InputError, match="predict got"):
        classifier.predict(bad)


@pytest.mark.parametrize("bad", ["great", None, 3, {"text": "great"}])
def test_stream_refuses_what_is_no_iterable_of_texts(classifier: Classifier, bad: Any) -> None:
    with pytest.raises(InputError, match="stream got"):
        classifier.stream(bad)


def test_a_single_text_for_a_model_of_pairs_is_refused(pair_classifier: Classifier) -> None:
    with pytest.raises(InputError, match="this model reads pairs"):
        pair_classifier.predict("great")
    with pytest.raises(InputError, match="text 0 is one text"):
        pair_classifier.predict(["great", "late", "app"])
    with pytest.raises(InputError, match="this model reads pairs"):
        pair_classifier.logits(["great"])
    with pytest.raises(InputError, match="got 2 texts and 1 pairs"):
        pair_classifier.logits(["great", "late"], ["app"])


def test_an_empty_text_is_classified_and_counted(artifact: Artifact) -> None:
    with load(artifact.path) as fresh:
        predictions = fresh.predict(["", " \n", "great", "\x00"])
        assert len(predictions) == 4
        assert fresh.stats.empty == 3  # BERT's normalizer drops control characters, too
        assert fresh.stats.tokens == 2 + 2 + 3 + 2


def test_a_text_without_a_single_token_is_an_error(
    tiny: ModuleType, new_artifact: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenizers import Tokenizer

    bare = Tokenizer.from_str(tiny.tokenizer_json())
    bare.post_processor = None
    monkeypatch.setattr(tiny, "tokenizer_json", lambda: bare.to_str())
    with load(new_artifact().path) as fresh:
        with pytest.raises(InputError, match="text 1 has no tokens"):
            fresh.predict(["great", ""])
        with pytest.raises(InputError, match="the text has no tokens"):
            fresh.predict("")
        answers = list(fresh.stream(["", "great", ""], on_error="null"))
        assert [answer is None for answer in answers] == [True, False, True]


def test_a_model_that_gives_nan_is_an_error(tiny: ModuleType, new_artifact: Callable[..., Artifact]) -> None:
    model = onnx.ModelProto.FromString(tiny.graph(4))
    model.graph.node[-1].output[0] = "sums"
    model.graph.node.append(onnx.helper.make_node("Sqrt", ["sums"], ["logits"]))  # of negative ones, too
    broken = new_artifact(model=model.SerializeToString())
    with load(broken.path) as fresh, pytest.raises(ModelError, match="not finite"):
        fresh.predict("great")


def test_eight_threads_get_their_own_answers(artifact: Artifact) -> None:
    texts = [f"parcel {n} " + "late " * (n % 9) for n in range(240)]
    with load(artifact.path, threads=2) as shared:
        wanted = shared.logits(texts)
        with ThreadPoolExecutor(8) as pool:
            parts = [range(n, len(texts), 8) for n in range(8)]
            jobs = [pool.submit(shared.logits, [texts[i] for i in part]) for part in parts for _ in range(3)]
            for job, part in zip(jobs, (p for p in parts for _ in range(3)), strict=True):
                np.testing.assert_allclose(job.result(), wanted[list(part)], atol=1e-5)
        assert shared.stats.texts == 4 * len(texts)


def test_a_closed_classifier_says_so(artifact: Artifact) -> None:
    with load(artifact.path) as closed:
        started = closed.stream(["great"] * 5, window=1)
        next(started)
    closed.close()
    calls: list[Callable[[], object]] = [
        lambda: closed.predict("great"),
        lambda: closed.predict([]),
        lambda: closed.logits(["great"]),
        lambda: closed.stream(["great"]),
        lambda: next(started),
    ]
    for call in calls:
        with pytest.raises(DeviceError, match=r"the classifier was closed"):
            call()
    assert "closed" in repr(closed)
    assert closed.labels == ("order", "payment", "app", "praise")


def test_closing_while_others_predict_crashes_nobody(artifact: Artifact) -> None:
    for _ in range(5):
        shared = load(artifact.path, threads=2)
        outcomes: list[object] = []

        def work(shared: Classifier = shared, outcomes: list[object] = outcomes) -> None:
            try:
                while True:
                    shared.predict(["great service", "the parcel is late"])
            except DeviceError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        shared.close()
        for thread in threads:
            thread.join(10)
        assert len(outcomes) == 4
