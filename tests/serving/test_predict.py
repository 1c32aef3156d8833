"""The routes of text-embeddings-inference, and SageMaker's: /predict, /rerank, /invocations."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from liteft.serving.jobs import Batch, Outcome, Times
from liteft.serving.reading import Options
from liteft.serving.rendering import label_scores
from tests.serving.asked import LONG, VALUES, instance_of, item_of
from tests.serving.served import KINDS, Client

LABELLED = ("topics", "several", "pairs")


def wanted(model: Any, kind: str, value: Any) -> Any:
    """Return what /predict answers for a value, made of what ``predict`` gives."""
    if kind in LABELLED:
        found = model.predict([value], top_k=len(model.labels))[0]
        return [{"label": label, "score": score} for label, score in found.top]
    found = model.predict([value])[0]
    if kind in ("scores", "ranking"):
        return [{"label": model.labels[0], "score": found.score}]
    if kind == "questions":
        return {"answer": found.text, "score": found.score, "start": found.start or 0, "end": found.end or 0}
    names = ("entity_group", "score", "word", "start", "end")
    return [{name: span.to_dict()[name] for name in names} for span in found.spans]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_what_predict_gives_alone_and_in_a_batch(
    everything: Client, models: dict[str, Any], kind: str
) -> None:
    expected = [wanted(models[kind], kind, value) for value in VALUES[kind]]
    alone = [everything.ask("/predict", {"model": kind, "inputs": instance_of(kind, value)}) for value in VALUES[kind]]
    plain = kind != "words"  # where a list of strings has the words of a text
    batch = [[value] if plain and isinstance(value, str) else item_of(kind, value) for value in VALUES[kind]]
    assert alone == expected == everything.ask("/predict", {"model": kind, "inputs": batch})
    assert len({str(each) for each in expected}) == len(expected)


def test_a_text_a_batch_and_a_mixed_batch_have_the_shapes_that_clients_read(served: Callable[..., Client]) -> None:
    client = served("topics")
    one = client.ask("/predict", {"inputs": "w1"})
    assert [set(each) for each in one] == [{"label", "score"}] * 5
    assert [each["score"] for each in one] == sorted((each["score"] for each in one), reverse=True)
    assert client.ask("/", {"inputs": "w1"}) == one
    assert client.ask("/predict", {"inputs": [["w1"]]}) == [one]
    assert client.ask("/predict", {"inputs": [["w1"], "w1", {"text": "w1"}]}) == [one] * 3
    assert client.ask("/predict", {"inputs": []}) == []


def test_two_strings_are_one_pair_for_a_model_of_pairs(served: Callable[..., Client]) -> None:
    client = served("pairs")
    one = client.ask("/predict", {"inputs": ["w1", "w2"]})
    assert client.ask("/predict", {"inputs": [["w1", "w2"]]}) == [one]
    assert client.ask("/predict", {"inputs": {"text": "w1", "pair": "w2"}}) == one
    refused = client.post("/predict", {"inputs": ["w1", "w2", "w3"]})
    assert refused.status == 422 and '[["a", "b"], ...]' in refused.json["error"]


@pytest.mark.parametrize("texts", [["w1"], ["w1", "w2"], ["w1", "w2", "w3"]])
def test_a_flat_list_is_never_two_texts(served: Callable[..., Client], texts: list[str]) -> None:
    refused = served("topics").post("/predict", {"inputs": texts})
    assert refused.status == 422 and '[["a"], ["b"]]' in refused.json["error"]


@pytest.mark.parametrize("kind", ["topics", "several", "scores"])
def test_raw_scores_are_logits(everything: Client, models: dict[str, Any], kind: str) -> None:
    logits = models[kind].logits(["w1 w2"])[0].tolist()
    found = everything.ask("/predict", {"model": kind, "inputs": "w1 w2", "raw_scores": True})
    assert {each["label"]: each["score"] for each in found} == dict(zip(models[kind].labels, logits, strict=True))


def test_top_k_and_threshold_choose_labels_as_predict_does(everything: Client, models: dict[str, Any]) -> None:
    asked = {"model": "several", "inputs": "w1 w2 w3"}
    every = everything.ask("/predict", asked)
    assert everything.ask("/predict", asked | {"top_k": 2}) == every[:2]
    assert everything.ask("/predict", asked | {"top_k": 10**30}) == every
    for threshold in (0.5, every[2]["score"], [0.1, 0.9, 0.5, 0.4, 0.6]):
        chosen = models["several"].predict("w1 w2 w3", threshold=threshold).labels
        found = everything.ask("/predict", asked | {"threshold": threshold})
        assert found == [each for each in every if each["label"] in chosen]


def test_questions_give_the_best_answers_with_top_k(everything: Client, models: dict[str, Any]) -> None:
    asked = {"model": "questions", "inputs": {"question": "w1", "context": LONG}, "top_k": 3}
    expected = models["questions"].predict("w1", LONG, top_k=3)
    assert everything.ask("/predict", asked) == [each.to_dict() for each in expected.top]


def test_a_text_that_would_be_cut_is_refused_if_that_is_wanted(everything: Client) -> None:
    asked = {"model": "topics", "inputs": [["w1"], [LONG]]}
    cut = everything.ask("/predict", asked | {"truncate": True})
    assert everything.ask("/predict", asked | {"truncate": None, "truncation_direction": "Right"}) == cut
    refused = everything.post("/predict", asked | {"truncate": False})
    assert refused.status == 422 and refused.json["error_type"] == "input"
    assert "text 1 has more than the 32 tokens" in refused.json["error"]
    assert everything.ask("/predict", asked | {"inputs": "w1", "truncate": False}) == cut[0]
    side = everything.post("/predict", asked | {"truncation_direction": "Left"})
    assert side.status == 422 and "'right'" in side.json["error"]


def test_reranking_orders_texts_as_rank_does(served: Callable[..., Client], models: dict[str, Any]) -> None:
    client, texts = served("ranking"), ["w1", "w2 w3", "w9", "w1", LONG]
    asked = {"query": "w5 w6", "texts": texts}
    expected = models["ranking"].rank("w5 w6", texts)
    found = client.ask("/rerank", asked)
    assert found == [{"index": each.index, "score": each.score} for each in expected]
    with_texts = client.ask("/rerank", asked | {"return_text": True, "raw_scores": True, "truncate": True})
    assert with_texts == [each.to_dict() for each in expected]
    assert client.ask("/rerank", asked | {"texts": []}) == []
    assert client.post("/rerank", asked | {"truncate": False}).status == 422


def test_raw_scores_of_reranking_are_logits(everything: Client, models: dict[str, Any]) -> None:
    asked = {"model": "ranking", "query": "w5 w6", "texts": ["w1", "w2 w3"], "raw_scores": True}
    logits = models["ranking"].logits(["w5 w6"] * 2, ["w1", "w2 w3"])[:, 0]
    found = everything.ask("/rerank", asked)
    assert [each["index"] for each in found] == np.argsort(-logits).tolist()
    assert [each["score"] for each in found] == np.sort(logits)[::-1].tolist()


@pytest.mark.parametrize("kind", ["topics", "pairs", "scores", "words"])
def test_only_scores_of_pairs_rank(everything: Client, kind: str) -> None:
    refused = everything.post("/rerank", {"model": kind, "query": "w1", "texts": ["w2"]})
    assert refused.status == 422 and "a model of scores that reads pairs" in refused.json["error"]


def test_sagemaker_sends_either_body(served: Callable[..., Client]) -> None:
    client = served("topics")
    assert client.get("/ping").status == 200
    for inputs in ("w1", [["w1"], ["w2"]]):
        assert client.ask("/invocations", {"inputs": inputs}) == client.ask("/predict", {"inputs": inputs})
    instances = {"instances": ["w1", "w2"], "parameters": {"top_k": 2}}
    assert client.ask("/invocations", instances) == client.ask("/vertex", instances)
    for wrong in ([], "w1", {}, {"instances": ["w1"], "inputs": "w1"}):
        assert client.post("/invocations", wrong).status == 422


def test_answers_have_the_times_that_clients_read(served: Callable[..., Client], models: dict[str, Any]) -> None:
    answer = served("topics").post("/predict", {"inputs": [["w1 w2"], ["w3"]]})
    times = [float(answer.headers[f"x-{name}-time"]) for name in ("queue", "tokenization", "inference", "total")]
    assert min(times) >= 0 and times[3] == pytest.approx(sum(times[:3]), abs=0.002)
    assert int(answer.headers["x-compute-tokens"]) == models["topics"].encode(["w1 w2", "w3"]).lengths.sum()
    assert len(answer.headers["x-model-revision"]) == 16 and "inference;dur=" in answer.headers["server-timing"]


def test_raw_scores_are_best_first_also_where_scores_are_all_one(models: dict[str, Any]) -> None:
    model = SimpleNamespace(classifier=models["several"], manifest=models["several"].manifest)
    logits = np.array([[20.0, 40.0, -1.0, 30.0, 25.0]], dtype=np.float32)
    outcome = Outcome(Batch(model, logits), slice(0, 1), np.zeros(1, dtype=bool), 3, Times(0.0, 0.0, 0.0))
    raw = label_scores(outcome, Options(raw_scores=True))[0]
    assert [each["score"] for each in raw] == [40.0, 30.0, 25.0, 20.0, -1.0]
    assert [each["score"] for each in label_scores(outcome, Options())[0]][:4] == [1.0] * 4
