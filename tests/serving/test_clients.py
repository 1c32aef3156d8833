"""Bodies as clients of other servers send them, which are not installed here: they are answered as they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.serving.served import Client

TEXTS = ["w1", "w2 w3", "w9"]
RERANKED: dict[str, dict[str, Any]] = {
    "LlamaIndex": {"query": "w5", "texts": TEXTS},
    "LlamaIndex, older": {"query": "w5", "texts": TEXTS, "truncate": True},
    "Haystack": {"query": "w5", "texts": TEXTS, "raw_scores": False, "truncation_direction": "Right"},
    "Continue": {
        "query": "w5", "return_text": False, "raw_scores": False, "texts": TEXTS, "truncation_direction": "Right",
        "truncate": True,
    },
    "Milvus": {"query": "w5", "texts": TEXTS, "truncate": True, "truncation_direction": "Right"},
}  # fmt: skip


@pytest.mark.parametrize("name", RERANKED)
def test_rerankers_of_frameworks_are_answered(served: Any, models: dict[str, Any], name: str) -> None:
    expected = models["ranking"].rank("w5", TEXTS)
    found = served("ranking").ask("/rerank", RERANKED[name])
    assert [(each["index"], each["score"]) for each in found] == [(each.index, each.score) for each in expected]


INFERRED: dict[str, dict[str, Any]] = {
    "KServe": {
        "id": "2f6e", "parameters": {}, "outputs": [],
        "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["w1", "w2"], "parameters": {}}],
    },
    "MLServer": {
        "parameters": {"content_type": "str"},
        "inputs": [
            {
                "name": "text", "shape": [2, 1], "datatype": "BYTES", "data": ["w1", "w2"],
                "parameters": {"content_type": "str"},
            }
        ],
    },
    "Seldon": {
        "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["w1", "w2"]}],
        "outputs": [{"name": "label", "parameters": {"content_type": "str"}}],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", INFERRED)
def test_clients_of_the_open_inference_protocol_are_answered(served: Any, models: dict[str, Any], name: str) -> None:
    answer = served("topics").ask("/v2/models/topics/infer", INFERRED[name])
    label = next(output for output in answer["outputs"] if output["name"] == "label")
    assert label["data"] == [each.label for each in models["topics"].predict(["w1", "w2"])]
    assert answer.get("id") == INFERRED[name].get("id")


def test_vertexs_client_may_send_a_null_as_parameters(served: Any, models: dict[str, Any]) -> None:
    found = served("topics").ask("/vertex", {"instances": [{"text": "w1"}], "parameters": None})
    assert found["predictions"] == [models["topics"].predict("w1").to_dict()]


def test_a_body_needs_no_content_type(everything: Client) -> None:
    body = b'{"model": "topics", "inputs": "w1"}'
    plain = everything.post("/predict", body)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        assert everything.post("/predict", body, content_type=kind).json == plain.json


def test_a_probe_may_ask_for_the_head_alone(everything: Client) -> None:
    answer = everything.send("HEAD", "/readyz")
    assert answer.status == 200 and answer.body == b""
