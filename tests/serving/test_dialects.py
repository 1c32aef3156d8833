"""The dialects of vLLM, of Vertex AI and KServe's first protocol, and of Hugging Face's client."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.serving.asked import LONG, VALUES, instance_of, item_of
from tests.serving.served import KINDS, Client


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_of_instances_are_what_predict_gives(everything: Client, models: dict[str, Any], kind: str) -> None:
    values = VALUES[kind]
    expected = [each.to_dict() for each in models[kind].predict(values)]
    path = f"/v1/models/{kind}:predict"
    named = {"instances": [instance_of(kind, value) for value in values]}
    short = {"instances": [item_of(kind, value) for value in values]}
    assert everything.ask(path, named) == everything.ask(path, short) == {"predictions": expected}
    alone = [everything.ask(path, {"instances": [each]})["predictions"] for each in named["instances"]]
    assert alone == [[each] for each in expected]
    assert everything.ask("/vertex", named | {"model": kind}) == {"predictions": expected}
    assert everything.ask(path, {"instances": []}) == {"predictions": []}


@pytest.mark.parametrize("kind", ["topics", "several", "questions"])
def test_parameters_of_instances_are_those_of_predict(everything: Client, models: dict[str, Any], kind: str) -> None:
    options: dict[str, Any] = {"top_k": 2} | ({"threshold": 0.7} if kind == "several" else {})
    body = {"instances": [item_of(kind, value) for value in VALUES[kind]], "parameters": options}
    expected = [each.to_dict() for each in models[kind].predict(VALUES[kind], **options)]
    found = everything.ask(f"/v1/models/{kind}:predict", body | {"signature_name": "serving_default"})
    assert found["predictions"] == expected
    assert everything.ask(f"/v1/models/{kind}:predict", body | {"parameters": None})["predictions"] != expected


def test_a_path_of_the_first_protocol_names_one_model_and_predict(everything: Client) -> None:
    body = {"instances": ["w1"]}
    assert everything.get("/v1/models/topics").json == {"name": "topics", "ready": True}
    assert "topics" in {each["id"] for each in everything.get("/v1/models").json["data"]}
    for path, text in {
        "/v1/models/topics:explain": "the path must end in NAME:predict, got 'topics:explain'",
        "/v1/models/topics": "the path must end in NAME:predict, got 'topics'",
        "/v1/models/other:predict": "there is no model 'other'; served are topics",
    }.items():
        refused = everything.post(path, body)
        assert refused.status == 404 and text in refused.json["error"], path
    other = everything.post("/v1/models/topics:predict", body | {"model": "several"})
    assert other.status == 422 and "the path names the model 'topics', and the body 'several'" in other.json["error"]
    signature = everything.post("/v1/models/topics:predict", body | {"signature_name": "other"})
    assert signature.status == 422 and "must be serving_default" in signature.json["error"]


@pytest.mark.parametrize("kind", ["topics", "several"])
def test_vllms_answer_has_all_probabilities(everything: Client, models: dict[str, Any], kind: str) -> None:
    texts, model = VALUES[kind], models[kind]
    found = everything.ask("/classify", {"model": kind, "input": texts, "user": "me"})
    assert (found["object"], found["model"]) == ("list", kind) and found["id"].startswith("classify-")
    predicted = model.predict(texts, top_k=len(model.labels))
    assert found["data"] == [
        {
            "index": index,
            "label": each.label,
            "probs": [dict(each.top)[label] for label in model.labels],
            "num_classes": len(model.labels),
        }
        for index, each in enumerate(predicted)
    ]
    tokens = int(model.encode(texts).lengths.sum())
    assert found["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
    one = everything.ask("/v1/classify", {"model": kind, "input": texts[0]})
    assert one["data"] == [found["data"][0]] and one["id"] != found["id"]
    assert everything.ask("/classify", {"model": kind, "input": []})["data"] == []


@pytest.mark.parametrize("kind", ["pairs", "scores", "words", "questions"])
def test_vllms_route_is_for_labels_of_texts(everything: Client, kind: str) -> None:
    refused = everything.post("/classify", {"model": kind, "input": "w1"})
    assert refused.status == 422 and f"ask /v1/models/{kind}:predict" in refused.json["error"]


def client_of(client: Client) -> Any:
    """Return Hugging Face's client, which asks the server's pipeline."""
    hub = pytest.importorskip("huggingface_hub", reason="the pipelines' clients are those of huggingface_hub")
    return hub.InferenceClient(model=f"{client.url}/pipeline")


@pytest.mark.parametrize("kind", ["topics", "several"])
def test_hugging_faces_client_classifies_texts(
    served: Callable[..., Client], models: dict[str, Any], kind: str
) -> None:
    client = client_of(served(kind))
    for text in VALUES[kind]:
        expected = models[kind].predict(text, top_k=5)
        assert [(each.label, each.score) for each in client.text_classification(text)] == list(expected.top)
        assert [each.label for each in client.text_classification(text, top_k=2)] == [x for x, _ in expected.top[:2]]
    logits = dict(zip(models[kind].labels, models[kind].logits(["w1"])[0].tolist(), strict=True))
    raw = client.text_classification("w1", function_to_apply="none")
    assert {each.label: each.score for each in raw} == logits


def test_hugging_faces_client_tags_words(served: Callable[..., Client], models: dict[str, Any]) -> None:
    client = client_of(served("words"))
    for text in ("w1 w2 w3 w4, w5", "w30 w31", LONG):
        for strategy in (None, "first", "simple"):
            found = client.token_classification(text, aggregation_strategy=strategy)
            expected = models["words"].predict(text).spans
            assert [(each.entity_group, each.score, each.word, each.start, each.end) for each in found] == [
                (span.label, span.score, span.text, span.start, span.end) for span in expected
            ]


def test_hugging_faces_client_answers_questions(served: Callable[..., Client], models: dict[str, Any]) -> None:
    client = client_of(served("questions"))
    for question, context in VALUES["questions"][:2]:
        expected = models["questions"].predict(question, context, top_k=2)
        one = client.question_answering(question=question, context=context)
        assert (one.answer, one.score, one.start, one.end) == (
            (expected.text, expected.score, expected.start or 0, expected.end or 0)
        )
        best = client.question_answering(question=question, context=context, top_k=2)
        assert [(each.answer, each.score) for each in best] == [(each.text, each.score) for each in expected.top]


def test_pipelines_take_batches_and_their_own_parameters_alone(everything: Client) -> None:
    asked = {"model": "topics", "inputs": "w1"}
    one = everything.ask("/pipeline", asked)
    assert everything.ask("/pipeline", asked | {"inputs": ["w1", {"text": "w1"}]}) == one * 2
    assert everything.ask("/pipeline", asked | {"inputs": []}) == []
    for parameters, text in {
        '{"function_to_apply": "sigmoid"}': "function_to_apply must be softmax",
        '{"aggregation_strategy": "max"}': "aggregation_strategy must be first or simple",
        '{"ignore_labels": ["O"]}': "accepted fields: top_k, function_to_apply, aggregation_strategy",
        '{"top_k": 0}': "top_k must be a positive integer, got 0",
    }.items():
        body = f'{{"model": "topics", "inputs": "w1", "parameters": {parameters}}}'
        refused = everything.post("/pipeline", body.encode())
        assert refused.status == 422 and text in refused.json["error"], parameters


def test_answers_do_not_depend_on_who_asks_at_the_same_time(everything: Client) -> None:
    asked = [(kind, instance_of(kind, value)) for kind in KINDS for value in VALUES[kind]]

    def ask(one: tuple[str, dict[str, Any]]) -> Any:
        kind, instance = one
        return everything.ask(f"/v1/models/{kind}:predict", {"instances": [instance]})["predictions"]

    alone = list(map(ask, asked))
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(ask, asked * 6))
    assert together == alone * 6
