"""The classifier of questions: which inputs it takes, where its answers are, and that nothing depends on company."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft.answer_spans import AnswerForm, best_spans
from liteft.artifact import Artifact
from liteft.errors import ArtifactError, ConfigError, DataError, DeviceError, InputError
from liteft.runtime import Answer, AnswerClassifier, predict_file
from liteft.runtime.classifier import _load_again
from tests.modules import module_of

QUESTION = "who has the parcel?"
CONTEXTS = [
    "the parcel arrived two days late",
    "naïve café 👩\u200d💻 我的包裹, a\u0301 (4.2)\r\n app",
    "the box was open, " * 40,
    "x" * 300,
    "",
    " \t\n",
]


@pytest.fixture(scope="module")
def fake() -> ModuleType:
    return module_of("runtime", "tagging_engine.py")


def fields(**changes: Any) -> dict[str, Any]:
    """Return arguments of ``tiny.write_artifact`` for a model of questions."""
    own = {"task": "answers", "labels": ("start", "end"), "activation": "softmax", "pooling": "none"}
    return own | {"paired": True, "answers": AnswerForm(max_answer=12, stride=8, no_answer=-9.0)} | changes


@pytest.fixture(scope="module")
def artifact(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny.write_artifact(tmp_path_factory.mktemp("artifacts") / "questions", **fields())


@pytest.fixture
def classifier(artifact: Artifact, fake: ModuleType) -> AnswerClassifier:
    return answerer(artifact, fake)


def answerer(artifact: Artifact, fake: ModuleType) -> AnswerClassifier:
    asked = ("auto", "auto", 1, None, None, False)
    return AnswerClassifier(artifact, fake.FakeEngine(2), threads=1, asked=asked, again=_load_again)


def test_one_question_gives_an_answer_and_a_list_gives_a_list(classifier: AnswerClassifier) -> None:
    one = classifier.predict(QUESTION, CONTEXTS[0])
    assert isinstance(one, Answer) and one.backend == "native" and not one.truncated and one.answered
    assert classifier.predict((QUESTION, CONTEXTS[0])) == one
    assert classifier.predict([(QUESTION, CONTEXTS[0])] * 2) == [one, one] and classifier.predict([]) == []
    assert one.labels == (one.text,) and one.render().startswith(one.text) and one.to_dict()["answer"] == one.text


@pytest.mark.parametrize("context", CONTEXTS)
def test_answers_are_where_they_say(classifier: AnswerClassifier, context: str) -> None:
    found = classifier.predict(QUESTION, context, top_k=3)
    if not context.strip():
        assert not found.answered and found.text == "" and found.score == found.no_answer_score == 1.0
        assert found.labels == () and "(no answer)" in found.render() and not found.top
        return
    assert found.answered and found.text == context[found.start : found.end] and 0 < found.score <= 1
    best = found.top[0]
    assert (best.text, best.start, best.end, best.score) == (found.text, found.start, found.end, found.score)
    taken: set[int] = set()
    for each in found.top:
        assert each.text == context[each.start : each.end] and not taken & set(range(each.start, each.end))
        taken |= set(range(each.start, each.end))
    assert sum(each.score for each in found.top) + found.no_answer_score <= 1 + 1e-9
    assert sorted((each.score for each in found.top), reverse=True) == [each.score for each in found.top]


def test_places_may_be_counted_as_javascript_does(classifier: AnswerClassifier) -> None:
    context = "😀 the 𠮷野家 👩\u200d💻 was in Rome, e\u0301 🇩🇪"
    found = classifier.predict("where was it", context, top_k=50)
    units = context.encode("utf-16-le")
    plain, wide = found.to_dict(), found.to_dict(offsets="utf16")
    assert len(plain["top"]) > 2 and plain["top"][-1]["start"] != wide["top"][-1]["start"]
    for one, other in zip([plain, *plain["top"]], [wide, *wide["top"]], strict=True):
        if one["start"] is None:
            assert other["start"] is None and other["end"] is None
            continue
        assert context[one["start"] : one["end"]] == one["answer"]
        assert units[2 * other["start"] : 2 * other["end"]].decode("utf-16-le") == one["answer"]
    with pytest.raises(ConfigError, match="offsets must be code points or utf16, got 'bytes'"):
        found.to_dict(offsets="bytes")  # type: ignore[arg-type]


def test_the_halves_of_predict_give_what_it_gives(classifier: AnswerClassifier) -> None:
    asked = [(QUESTION, context) for context in CONTEXTS] + [("w " * 300, CONTEXTS[0])]
    rows = classifier.encode(asked)
    halves = classifier.predictions(classifier.run(rows), asked, top_k=2, truncated=rows.truncated)
    assert halves == classifier.predict(asked, top_k=2) and halves[-1].truncated
    apart = classifier.logits(*map(list, zip(*asked, strict=True)))
    assert classifier.predictions(apart, *zip(*asked, strict=True))[:-1] == classifier.predict(asked)[:-1]
    for wrong in (apart[:1], apart.values, classifier.logits([(QUESTION, CONTEXTS[0] + " and more")] * len(asked))):
        with pytest.raises(InputError, match="that do not fit the contexts of"):
            classifier.predictions(wrong, asked)


def test_an_answer_does_not_depend_on_the_questions_beside_it(classifier: AnswerClassifier) -> None:
    pairs = [(f"{QUESTION} {number}", context) for number, context in enumerate(CONTEXTS)]
    alone = [classifier.predict(*pair) for pair in pairs]
    assert classifier.predict(pairs) == alone == list(classifier.stream(pairs, window=2, token_budget=40))
    rows = classifier.encode(*zip(*pairs, strict=True))
    logits = classifier.run(rows)
    assert np.array_equal(logits.values, classifier.logits(*zip(*pairs, strict=True)).values)
    assert best_spans(logits).decided(0.0)[0].tolist() == [alone[0].start, alone[0].end]
    assert classifier.stats.texts == 5 * len(pairs) and classifier.stats.empty == 5 * 2


def test_a_threshold_keeps_answers_back(artifact: Artifact, tiny: ModuleType, fake: ModuleType, tmp_path: Path) -> None:
    high = tiny.write_artifact(tmp_path / "high", **fields(answers=AnswerForm(no_answer=99.0)))
    found = answerer(high, fake).predict(QUESTION, CONTEXTS[0], top_k=1)
    assert not found.answered and found.no_answer_score > 0.99 and found.top[0].text in CONTEXTS[0]
    always = tiny.write_artifact(tmp_path / "always", **fields(answers=AnswerForm(no_answer=None)))
    assert answerer(always, fake).predict(QUESTION, CONTEXTS[0]).no_answer_score == 0.0


def test_long_questions_and_words_are_marked(classifier: AnswerClassifier) -> None:
    assert classifier.predict("who " * 99, "the parcel").truncated
    assert classifier.predict("who", "x" * 50).truncated and not classifier.predict("who", CONTEXTS[2]).truncated
    assert classifier.stats.truncated == 2


def test_what_is_no_question_is_refused(classifier: AnswerClassifier) -> None:
    for wrong in (QUESTION, [QUESTION], [(QUESTION, None)], 3):
        with pytest.raises(InputError):
            classifier.predict(wrong)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="top_k must be"):
        classifier.predict(QUESTION, CONTEXTS[0], top_k=0)
    with pytest.raises(InputError, match="run got"):
        classifier.run([1])  # type: ignore[arg-type]
    found = list(classifier.stream([(QUESTION, CONTEXTS[0]), None, (QUESTION, "\ud800")], on_error="null"))
    assert [each is None for each in found] == [False, True, True] and classifier.stats.refused == 2
    with pytest.raises(InputError, match="text 1"):
        list(classifier.stream([(QUESTION, CONTEXTS[0]), None]))


def test_a_closed_classifier_answers_no_more(classifier: AnswerClassifier) -> None:
    again, arguments = classifier.__reduce__()
    assert again is pickle.loads(pickle.dumps(again)) and arguments[0] == classifier.path
    assert "native on cpu" in repr(classifier)
    classifier.close()
    with pytest.raises(DeviceError, match="closed"):
        classifier.predict(QUESTION, CONTEXTS[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"answers": None},
        {"paired": False},
        {"pooling": "mean"},
        {"labels": ("start", "end", "other")},
        {"answers": AnswerForm(max_answer=0)},
        {"answers": AnswerForm(no_answer=float("nan"))},
    ],
)
def test_a_manifest_that_does_not_say_how_to_answer_is_refused(
    changes: dict[str, Any], tiny: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises((ArtifactError, ValueError)):
        tiny.write_artifact(tmp_path / "wrong", **fields(**changes))


def test_files_of_questions_get_answers_with_places(classifier: AnswerClassifier, tmp_path: Path) -> None:
    source = tmp_path / "questions.csv"
    rows = [["id", "Question", "context"], ["1", QUESTION, CONTEXTS[0]], ["2", QUESTION, ""]]
    with open(source, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    done = predict_file(classifier, source, tmp_path / "out.jsonl", top_k=2)
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = classifier.predict(QUESTION, CONTEXTS[0], top_k=2)
    assert done.rows == 2 and found[0]["answer"] == wanted.text and found[0]["start"] == wanted.start
    for each, expected in zip(found[0]["top"], wanted.to_dict()["top"], strict=True):
        assert each == {**expected, "score": pytest.approx(expected["score"], abs=1e-6)}
    assert (found[1]["answer"], found[1]["start"], found[1]["end"]) == ("", None, None)
    predict_file(classifier, source, tmp_path / "out.csv")
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[2] == ["2", QUESTION, "", "", "1.0", "", ""]
    with pytest.raises(ConfigError, match="this model answers questions"):
        predict_file(classifier, source, tmp_path / "other.csv", threshold=0.3)
    source.write_text("text\nhello\n", encoding="utf-8")
    with pytest.raises(DataError, match="which one holds the question"):
        predict_file(classifier, source, tmp_path / "other.csv")


def test_documents_of_squad_are_answered_a_row_for_each_question(classifier: AnswerClassifier, tmp_path: Path) -> None:
    asked = [{"id": "a", "question": QUESTION, "answers": []}, {"id": "b", "question": "", "answers": []}]
    paragraphs = [{"context": CONTEXTS[0], "qas": asked}, {"context": " \n", "qas": [{"question": QUESTION}]}]
    source = tmp_path / "squad.json"
    source.write_text(json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    assert predict_file(classifier, source, tmp_path / "out.jsonl").rows == 3
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in found] == ["a", "b", None] and found[0]["context"] == CONTEXTS[0]
    assert found[0]["answer"] == classifier.predict(QUESTION, CONTEXTS[0]).text and found[2]["start"] is None
    assert "is_impossible" not in found[0], "no document says that"
    source.write_text(json.dumps({"data": [{"paragraphs": [{"context": "a parcel", "qas": [{"id": "a"}]}]}]}))
    with pytest.raises(DataError, match="has 'paragraphs' as SQuAD's documents have") as caught:
        predict_file(classifier, source, tmp_path / "other.jsonl")
    assert "no key 'question'" in str(caught.value)


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        ({"question": None, "context": "a"}, "column 'question', is None"),
        ({"context": "a"}, "column 'question', is None"),
        ({"question": ["who", "is"], "context": "a"}, "column 'question', is a value of type list"),
        ({"question": "who", "context": ["a"]}, "column 'context', is a value of type list"),
        ({"question": "who", "context": 5}, "column 'context', is 5"),
        ({"question": "\ud800", "context": "a"}, "half a surrogate pair"),
    ],
)
def test_a_row_that_is_no_question_is_named(
    row: dict[str, Any], seen: str, classifier: AnswerClassifier, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(each) + "\n" for each in ({"question": QUESTION, "context": "a"}, row)))
    with pytest.raises(DataError, match=f"line 2.*{seen}"):
        predict_file(classifier, source, tmp_path / "out.jsonl")
    done = predict_file(classifier, source, tmp_path / "out.jsonl", on_error="null", restart=True)
    last = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert done.refused == 1 and last["answer"] is last["score"] is last["start"] is None


@pytest.mark.parametrize("top_k", ["3", True, 0, 2.0, [3]])
def test_a_wrong_number_of_answers_is_refused_before_anything_is_read(
    top_k: Any, classifier: AnswerClassifier, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"question": QUESTION, "context": "a"}))
    for call in (
        lambda: classifier.predict(QUESTION, CONTEXTS[0], top_k=top_k),
        lambda: classifier.stream([], top_k=top_k),
        lambda: predict_file(classifier, source, tmp_path / "out.jsonl", top_k=top_k),
    ):
        with pytest.raises(ConfigError, match="top_k must be a positive integer"):
            call()


def test_all_answers_of_a_context_can_be_asked_for(classifier: AnswerClassifier) -> None:
    found = classifier.predict(QUESTION, CONTEXTS[0], top_k=10**12).top
    assert 1 < len(found) <= len(CONTEXTS[0].split())


def test_a_threshold_is_refused_as_of_other_models(classifier: AnswerClassifier) -> None:
    threshold: Any = 0.5
    with pytest.raises(ConfigError, match="its threshold of no answer is in its logits"):
        classifier.predict(QUESTION, CONTEXTS[0], threshold=threshold)
    with pytest.raises(ConfigError, match="its threshold of no answer is in its logits"):
        classifier.stream([], threshold=threshold)


def test_what_is_no_question_or_no_context_is_said(classifier: AnswerClassifier) -> None:
    wrong: Any = 5
    for question, context in ((QUESTION, wrong), (wrong, CONTEXTS[0]), ([QUESTION], CONTEXTS), (None, CONTEXTS[0])):
        with pytest.raises(InputError, match=r"as the question, and .* as its context") as caught:
            classifier.predict(question, context)  # type: ignore[call-overload]
        assert "zip(questions, contexts)" in str(caught.value)
    with pytest.raises(InputError, match="text 1, second half, is None"):
        classifier.predict([(QUESTION, CONTEXTS[0]), (QUESTION, None)])
    with pytest.raises(InputError, match="text 0, first half, is 5"):
        classifier.predict([(wrong, CONTEXTS[0])])
