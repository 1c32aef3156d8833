"""The classifier of words: which inputs it takes, where its spans are, and that nothing depends on company."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from liteft.artifact import Artifact
from liteft.errors import ConfigError, DeviceError, InputError
from liteft.ragged import Ragged
from liteft.runtime import Span, TaggedText, TokenClassifier, load
from liteft.runtime.tagged import _means
from liteft.words import find_words, words_of_texts
from tests.modules import module_of

TEXTS = [
    "Please refund Ada, the second payment!",
    "",
    " \t\n",
    "naïve café 我的包裹 (4.2)",
    "the parcel " * 40,
    "x" * 300,
    "\0 \x01",
    "a\u0301\u200d👩\u200d💻 app",
    "order",
]


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    return module_of("runtime", "tagging_engine.py")


@pytest.fixture(scope="module")
def words_artifact(tiny: ModuleType, fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.write_artifact(tmp_path_factory.mktemp("artifacts") / "words", **fake.fields())


@pytest.fixture
def tagger(words_artifact: Artifact, fake: ModuleType) -> TokenClassifier:
    return fake.tagger_of(words_artifact)


@pytest.fixture
def roles(tiny: ModuleType, fake: ModuleType, tmp_path: Any) -> TokenClassifier:
    """A tagger that is told which word is the predicate."""
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    return fake.tagger_of(tiny.write_artifact(tmp_path / "roles", **fake.fields(inputs=inputs, marked=True)))


def test_a_text_gives_a_tagged_text_and_a_list_gives_a_list(tagger: TokenClassifier) -> None:
    one = tagger.predict("the app closes")
    assert isinstance(one, TaggedText) and one.backend == "native" and not one.truncated
    assert tagger.predict(("the", "app", "closes")) == one
    assert tagger.predict(["the app closes", ["the", "app", "closes"], ("the", "app", "closes")]) == [one] * 3
    assert tagger.predict([]) == []
    assert [len(each.words) for each in tagger.predict(["the", "app"])] == [1, 1]


@pytest.mark.parametrize("text", TEXTS)
def test_spans_are_where_they_say(tagger: TokenClassifier, text: str) -> None:
    found = tagger.predict(text)
    assert found.text == text and list(found.words) == find_words(text)
    assert len(found.tags) == len(found.scores) == len(found.words)
    inside = set()
    for span in found.spans:
        assert span.text == text[span.start : span.end]
        own = range(span.word_start, span.word_end)
        assert (span.start, span.end) == (found.words[own[0]][0], found.words[own[-1]][1])
        assert [found.tags[word] for word in own] == [f"B-{span.label}", *[f"I-{span.label}"] * (len(own) - 1)]
        assert span.score == pytest.approx(np.mean([found.scores[word] for word in own]))
        inside |= set(own)
    assert all((tag == "O") == (word not in inside) for word, tag in enumerate(found.tags))


def test_words_that_are_given_are_joined_by_a_space(tagger: TokenClassifier) -> None:
    words = ("New", "York,", "a b")
    found = tagger.predict(words)
    assert found.text == "New York, a b"
    assert [found.text[start:end] for start, end in found.words] == list(words)


@pytest.mark.parametrize("words", [("New", "", "York"), ("New", " ")])
def test_words_without_characters_are_refused(tagger: TokenClassifier, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="word 1 of the text is empty"):
        tagger.predict(words)


@pytest.mark.parametrize(
    ("words", "said"), [([[[0, 3], [2, 5]]], "not in order"), ([[[0, 99]]], "not in it"), ([[[-1, 2]]], "not in it")]
)
def test_places_that_are_not_in_their_text_are_refused(tagger: TokenClassifier, words: list[Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tagger.encode(["order"], words=Ragged.of(words, np.int32, width=(2,)))


def test_a_text_has_the_same_bits_alone_and_in_company(tagger: TokenClassifier) -> None:
    together = tagger.predict(TEXTS)
    assert [tagger.predict(text) for text in TEXTS] == together
    assert tagger.predict(TEXTS[::-1])[::-1] == together
    assert list(tagger.stream(TEXTS, window=2, token_budget=40)) == together


def test_scores_are_probabilities_of_the_tags(tagger: TokenClassifier) -> None:
    logits = tagger.logits(["the app closes"])[0]
    found = tagger.predict("the app closes")
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances = exponents / exponents.sum(axis=1, keepdims=True)
    tags = [tagger.labels.index(tag) for tag in found.tags]
    assert found.scores == pytest.approx(chances[np.arange(3), tags].tolist())


def test_means_of_runs() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert _means(values, np.array([0, 2]), np.array([1, 4])).tolist() == [1.0, 3.5]
    assert _means(values, np.array([], dtype=int), np.array([], dtype=int)).tolist() == []


def test_every_word_of_a_long_text_is_judged_once(tagger: TokenClassifier) -> None:
    text = "the order app " * 300
    windows = tagger.encode([text, "", text])
    assert len(windows.encoded) > 20 and windows.encoded.lengths.max() <= tagger.manifest.max_tokens
    assert len(windows.places) == 1800 and (np.diff(windows.row_words) > 0).all()
    assert [len(each.tags) for each in tagger.predict([text, "", text])] == [900, 0, 900]
    assert (tagger.stats.texts, tagger.stats.empty) == (3, 1)
    assert tagger.stats.tokens == len(windows.encoded.ids)


def test_a_word_of_many_tokens_is_marked(tagger: TokenClassifier) -> None:
    found = tagger.predict(["order zzzzzzzzzzzzzzz" + 30 * " order", "order"])
    assert [each.truncated for each in found] == [True, False] and tagger.stats.truncated == 1


def test_encode_run_and_predictions_are_predict(tagger: TokenClassifier) -> None:
    windows = tagger.encode(TEXTS)
    logits = tagger.run(windows)
    assert logits.dtype == np.float32 and logits.shape == (len(TEXTS), 5)
    assert tagger.predictions(logits, TEXTS, truncated=windows.truncated) == tagger.predict(TEXTS)
    known = tagger.logits(TEXTS, words=words_of_texts(TEXTS))
    assert (known.values == logits.values).all() and known.fits(logits)


def test_what_does_not_fit_is_refused(tagger: TokenClassifier) -> None:
    logits = tagger.logits(["the app"])
    for wrong in (logits.values, Ragged.of([[[0.0] * 4] * 2], np.float32, width=(4,))):
        with pytest.raises(InputError, match="predictions got"):
            tagger.predictions(wrong, ["the app"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="predictions got"):
        tagger.predictions(logits, ["the"])
    with pytest.raises(InputError, match="run got 3"):
        tagger.run(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="encode got 1 texts and words of 2"):
        tagger.encode(["the app"], words=words_of_texts(["a", "b"]))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("a\ud800", "the text contains half a surrogate pair at position 1"),
        (("a", "b\udc00"), "word 1 of the text contains half a surrogate pair"),
        (("a", None), "word 1 of the text is None"),
        (["a", None], "text 1 is None"),
        (["a", ["b", 3]], "word 1 of text 1 is 3"),
        (["a", ["b", "\ud800"]], "word 1 of text 1 contains half a surrogate pair"),
        (7, "predict got 7"),
        ({"a": 1}, "predict got a value of type dict"),
        (pd.DataFrame({"text": ["a"]}), "predict got a value of type DataFrame"),
        ((each for each in "ab"), "predict got a value of type generator"),
    ],
)
def test_what_is_not_a_text_is_refused(tagger: TokenClassifier, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        tagger.predict(inputs)
    assert error.value.accepted and error.value.fix


def test_a_stream_gives_none_for_what_is_not_a_text_or_stops_there(tagger: TokenClassifier) -> None:
    values = ["order", None, ["the", "app"], "\ud800"]
    found = list(tagger.stream(values, on_error="null"))
    assert [each is None for each in found] == [False, True, False, True] and tagger.stats.refused == 2
    stream = tagger.stream(values)
    assert next(stream) == tagger.predict("order")
    with pytest.raises(InputError, match="text 1 is None"):
        next(stream)
    with pytest.raises(ConfigError, match="on_error must be"):
        tagger.stream([], on_error="ignore")  # type: ignore[arg-type]


def test_a_token_without_a_row_is_refused(tiny: ModuleType, fake: ModuleType, tmp_path: Any) -> None:
    rows = len(tiny.vocabulary()) - 1
    last = max(tiny.vocabulary(), key=tiny.vocabulary().__getitem__)
    tagger = fake.tagger_of(tiny.write_artifact(tmp_path / "a", **fake.fields(embedding_rows=rows)))
    values = ["order", "", f"order {last}", "order"]
    found = list(tagger.stream(values, on_error="null"))
    assert [each is None for each in found] == [False, False, True, False]
    assert found[0] == found[3] == tagger.predict("order")
    with pytest.raises(InputError, match=f"text 2 holds '{last}', and the model has no row"):
        tagger.predict(values)
    assert last in str(tagger.refusal(values[2], "line 3"))


def test_places_may_be_counted_as_javascript_does(tagger: TokenClassifier) -> None:
    text = "😀 order 👩\u200d💻 zz é app"
    found = tagger.predict(text)
    units = text.encode("utf-16-le")
    for plain, wide in zip(found.to_dict()["spans"], found.to_dict(offsets="utf16")["spans"], strict=True):
        assert text[plain["start"] : plain["end"]] == plain["word"]
        assert units[2 * wide["start"] : 2 * wide["end"]].decode("utf-16-le") == plain["word"]
    words = found.to_dict(offsets="utf16")["words"]
    assert [units[2 * start : 2 * end].decode("utf-16-le") for start, end in words] == text.split()
    with pytest.raises(ConfigError, match="offsets must be code points or utf16, got 'utf8'"):
        found.to_dict(offsets="utf8")  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_cuts_the_same_words_out_of_texts_with_emoji(tagger: TokenClassifier) -> None:
    texts = ["😀 order 👩\u200d💻 zz é app", "👍🏽👍🏽, naïve 𠮷野家 🇩🇪order", "e\u0301 𝒳 app\u200b 我的😀 the"]
    found = [text.to_dict(offsets="utf16") | {"text": text.text} for text in tagger.predict(texts)]
    assert any(one["spans"] for one in found)
    script = (
        "const found = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "const cut = ({ text, spans, words }) => [spans.map((span) => text.slice(span.start, span.end)),"
        "  words.map(([start, end]) => text.slice(start, end))];"
        "console.log(JSON.stringify(found.map(cut)));"
    )
    done = subprocess.run(["node", "-e", script], input=json.dumps(found), capture_output=True, text=True, check=True)
    expected = [
        [[span["word"] for span in one["spans"]], [text[start:end] for start, end in find_words(text)]]
        for one, text in zip(found, texts, strict=True)
    ]
    assert json.loads(done.stdout) == expected


def test_a_result_is_text_and_plain_data() -> None:
    span = Span("PER", 0.75, "Ada", 0, 3, 0, 1)
    found = TaggedText((span,), "Ada", ((0, 3),), ("B-PER",), (0.75,), False, "native")
    assert str(found) == "Ada\n  Ada  PER  0.7500  0:3"
    assert found.to_dict()["spans"] == [
        {"entity_group": "PER", "score": 0.75, "word": "Ada", "start": 0, "end": 3, "word_start": 0, "word_end": 1}
    ]
    two = replace(found, text="Ada in New  York", spans=(span, Span("LOC", 0.5, "New  York", 7, 16, 2, 4)))
    assert two.render() == "Ada in New York\n  Ada       PER  0.7500   0:3\n  New York  LOC  0.5000  7:16"
    assert TaggedText((), "a\n b", (), (), (), False, "native").render() == "a b\n  (no spans)"


def test_a_predicate_is_for_models_of_roles(tagger: TokenClassifier) -> None:
    for call in (lambda: tagger.predict("a b", predicate=0), lambda: tagger.predict_roles("a b", predicates=[0])):
        with pytest.raises(ConfigError, match="a predicate was given, but this model tags texts as they are"):
            call()


def test_roles_are_those_of_the_predicate(roles: TokenClassifier) -> None:
    words = ["the", "app", "closes", "the", "order"]
    one, two = roles.predict_roles(words, predicates=[1, 4])
    assert one == roles.predict(words, predicate=1) == roles.predict(tuple(words), predicate=1)
    assert one == roles.predict(" ".join(words), predicate=1) and one.scores != two.scores
    assert [one, two] == roles.predict([(words, 1), (" ".join(words), 4)])
    assert list(roles.stream([(words, 1), words, (words, 9)], on_error="null")) == [one, None, None]
    assert roles.predict_roles(words, predicates=[]) == []


def test_roles_say_whose_they_are(roles: TokenClassifier) -> None:
    found = roles.predict_roles("the app closes", predicates=[2, 0])
    assert [one.predicate for one in found] == [2, 0] == [one.to_dict()["predicate"] for one in found]
    assert found[0].render().splitlines()[0] == "the app closes (predicate: closes, word 2)"
    for wrong, message in (("paid", "its predicate is 'paid'"), (1.0, "its predicate is 1.0"), (3, "number is 3")):
        with pytest.raises(InputError, match=f"the text has 3 words, and .*{message}"):
            roles.predict_roles("the app closes", predicates=[wrong])  # type: ignore[list-item]
    with pytest.raises(InputError, match="predict_roles got 1 as predicates"):
        roles.predict_roles("the app closes", predicates=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda tagger: tagger.predict("a b"), "the text has no predicate, but this model finds the roles"),
        (lambda tagger: tagger.predict(["a b"]), "text 0 has no predicate"),
        (lambda tagger: tagger.predict("a b", predicate=2), "has 2 words, and the predicate's number is 2"),
        (lambda tagger: tagger.predict("a b", predicate=-1), "the predicate's number is -1"),
        (lambda tagger: tagger.predict("a b", predicate=True), "its predicate is True, which is not a whole number"),
        (lambda tagger: tagger.predict("", predicate=0), "the text has 0 words"),
        (lambda tagger: tagger.predict(["a", None], predicate=0), "word 1 of the text is None"),
    ],
)
def test_a_model_of_roles_needs_a_predicate(roles: TokenClassifier, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(roles)


def test_a_closed_tagger_says_so(tagger: TokenClassifier) -> None:
    with tagger:
        stream = tagger.stream(["order"] * 3, window=1)
        next(stream)
    for call in (lambda: tagger.predict("a"), lambda: tagger.encode(["a"]), lambda: next(stream)):
        with pytest.raises(DeviceError, match="the classifier was closed"):
            call()
    assert "closed" in repr(tagger)


def test_load_returns_a_tagger_which_pickles(
    words_artifact: Artifact, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.runtime.classifier.choose_engine", lambda *_, **__: fake.FakeEngine())
    with load(words_artifact.path, threads=1) as tagger:
        assert isinstance(tagger, TokenClassifier) and not tagger.marked
        again = pickle.loads(pickle.dumps(tagger))
        assert again.predict(TEXTS) == tagger.predict(TEXTS) and again.threads == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_tags_too(tagger: TokenClassifier) -> None:
    expected = tagger.predict("the app")
    child = os.fork()
    if not child:
        os._exit(0 if tagger.predict("the app") == expected and tagger.stats.texts == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
