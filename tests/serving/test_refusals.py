"""Requests that cannot be read or answered: each refusal says what was wrong and what would be accepted."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from liteft.serving import ServeSettings
from tests.serving.asked import LONG, instance_of
from tests.serving.served import Client, serving

BODIES: dict[str, tuple[str, Any, str]] = {
    "no body": ("/predict", b"", "the body is not valid JSON in UTF-8"),
    "half a body": ("/predict", b'{"inputs": "w1"', "the body is not valid JSON in UTF-8"),
    "a form": ("/predict", b"inputs=w1", "the body is not valid JSON in UTF-8"),
    "Latin-1": ("/predict", b'{"inputs": "\xe9"}', "the body is not valid JSON in UTF-8"),
    "half a surrogate pair": ("/predict", b'{"inputs": "\\ud800 w1"}', "the body is not valid JSON in UTF-8"),
    "NaN": ("/predict", b'{"inputs": "w1", "threshold": NaN}', "the body is not valid JSON in UTF-8"),
    "a list": ("/predict", ["w1"], "Expected `object`, got `array`; accepted fields: inputs, raw_scores"),
    "a string": ("/classify", "w1", "Expected `object`, got `str`; accepted fields: input, model"),
    "null": ("/rerank", None, "Expected `object`, got `null`; accepted fields: query, texts"),
    "nothing": ("/predict", {}, "missing required field `inputs`; accepted fields: inputs"),
    "a typo": ("/predict", {"inputs": "w1", "raw_score": True}, "did you mean 'raw_scores'?"),
    "embeddings": ("/predict", {"inputs": "w1", "normalize": True}, "unknown field `normalize`; accepted fields"),
    "vLLM's body": ("/predict", {"input": "w1"}, "unknown field `input`; accepted fields: inputs"),
    "a number": ("/predict", {"inputs": 7}, "Expected `str | object | array`, got `int` - at `$.inputs`"),
    "token ids": ("/classify", {"input": [1, 2]}, "Expected `str`, got `int` - at `$.input[0]`"),
    "a number in a pair": ("/predict", {"inputs": [["w1", 7]]}, "got `int` - at `$.inputs[0][1]`"),
    "an unknown part": ("/predict", {"inputs": [{"txt": "w1"}]}, "accepted fields: text, pair, words, predicate"),
    "a string as bool": ("/predict", {"inputs": "w1", "raw_scores": "yes"}, "Expected `bool`, got `str`"),
    "a huge number": ("/predict", b'{"inputs": "w1", "threshold": 1e999}', "Number out of range - at `$.threshold`"),
    "deep lists": ("/predict", b'{"inputs": ' + b"[" * 100_000, "got `array` - at `$.inputs[0][0]`"),
    "deep objects": ("/invocations", b'{"a": ' * 100_000, "nested too deeply"),
    "an unknown parameter": (
        "/vertex",
        {"instances": ["w1"], "parameters": {"topk": 1}},
        "unknown field `topk` - at `$.parameters`; accepted fields: top_k, threshold; did you mean 'top_k'?",
    ),
    "TEI's instances": ("/vertex", {"instances": [{"inputs": "w1"}]}, "accepted fields: text, pair"),
    "Cohere's body": (
        "/rerank",
        {"query": "w1", "documents": ["w2"], "top_n": 1},
        "unknown field `documents`; accepted fields: query, texts",
    ),
    "no labels": ("/predict", {"inputs": "w1", "top_k": 0}, "top_k must be a positive integer, got 0"),
    "fewer than no labels": ("/vertex", {"instances": [], "parameters": {"top_k": -1}}, "a positive integer, got -1"),
    "a threshold of one label": ("/predict", {"inputs": "w1", "threshold": 0.5}, "it is for models of several labels"),
    "another model": ("/predict", {"inputs": "w1", "model": "x"}, "there is no model 'x'; served are topics"),
    "a pair": ("/predict", {"inputs": [["w1", "w2"]]}, "text 0 is a list of 2 strings, but this model reads single"),
    "no strings": ("/predict", {"inputs": [["w1"], []]}, "text 1 is a list of 0 strings"),
    "a question": (
        "/predict",
        {"inputs": {"question": "w1", "context": "w2"}},
        "text 0 is an object with question and context, but this model reads single texts",
    ),
    "an empty object": ("/predict", {"inputs": {}}, "text 0 is an empty object, but this model reads single texts"),
    "more than a text": ("/predict", {"inputs": {"text": "w1", "pair": "w2"}}, "an object with text and pair"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_read_is_refused_with_what_would_be(served: Callable[..., Client], name: str) -> None:
    path, body, text = BODIES[name]
    refused = served("topics").post(path, body)
    assert refused.status == (404 if name == "another model" else 422)
    assert set(refused.json) == {"error", "error_type"} and refused.json["error_type"] == "input"
    assert text in refused.json["error"]


VALUES: dict[str, tuple[str, Any, str]] = {
    "a text for pairs": ("pairs", "w1", 'text 0 is a string, but this model reads pairs: ["...", "..."] or {"text":'),
    "three for pairs": ("pairs", ["w1", "w2", "w3"], "text 0 is a list, but this model reads pairs"),
    "half a pair": ("ranking", {"text": "w1"}, "text 0 is an object with text, but this model reads pairs"),
    "a text for questions": ("questions", "w1", 'reads questions with contexts: ["...", "..."] or {"question":'),
    "half a question": ("questions", {"question": "w1"}, "an object with question, but this model reads questions"),
    "words for texts": ("topics", {"words": ["w1"]}, "text 0 is an object with words, but this model reads single"),
    "a question for words": ("words", {"question": "w1"}, "an object with question, but this model reads words"),
    "text and words": ("words", {"text": "w1", "words": ["w1"]}, "an object with text and words"),
    "an empty word": ("words", {"words": ["w1", " "]}, "word 1 of text 0 is empty."),
    "a predicate for words": ("words", {"text": "w1", "predicate": 0}, "names a predicate, but this model tags texts"),
    "no predicate": ("roles", "w1 w2", "names no predicate, and this model finds the roles of one"),
    "a high predicate": ("roles", {"text": "w1 w2", "predicate": 2}, "has 2 words, and the predicate's number is 2"),
    "a low predicate": ("roles", {"text": "w1 w2", "predicate": -1}, "the predicate's number is -1"),
    "a huge predicate": ("roles", {"text": "w1 w2", "predicate": 10**40}, "has 2 words, and the predicate's number is"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_another_kind_is_refused_with_the_models_own(everything: Client, name: str) -> None:
    kind, value, text = VALUES[name]
    refused = everything.post(f"/v1/models/{kind}:predict", {"instances": [value]})
    assert refused.status == 422 and text in refused.json["error"], refused.json


OPTIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a threshold that is none": ("several", {"threshold": 1.5}, "threshold must be from 0 to 1, got 1.5."),
    "too few thresholds": ("several", {"threshold": [0.5]}, "5 numbers, one per label"),
    "a threshold of words": ("words", {"threshold": 0.5}, "for models of several labels"),
    "labels of words": ("words", {"top_k": 1}, "top_k was given, but it is for labels of whole texts and for answers"),
    "labels of scores": ("scores", {"top_k": 1}, "top_k was given, but it is for labels of whole texts"),
    "logits of words": ("words", {"raw_scores": True}, "raw_scores was given, but it is for models of whole texts"),
    "logits of answers": ("questions", {"raw_scores": True}, "raw_scores was given"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_another_kind_is_refused(everything: Client, name: str) -> None:
    kind, options, text = OPTIONS[name]
    value = ("w1", "w2") if kind == "questions" else "w1"
    refused = everything.post("/predict", {"model": kind, "inputs": instance_of(kind, value)} | options)
    assert refused.status == 422 and text in refused.json["error"]


@pytest.mark.parametrize("path", ["/predict", "/vertex", "/pipeline", "/classify", "/invocations"])
def test_which_of_several_models_must_be_named(everything: Client, path: str) -> None:
    body = {"/vertex": {"instances": ["w1"]}, "/classify": {"input": "w1"}}.get(path, {"inputs": "w1"})
    refused = everything.post(path, body)
    assert refused.status == 422 and '"model" must be one of topics, several, pairs' in refused.json["error"]
    assert everything.post(path, body | {"model": "topics"}).status == 200


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings", "/v2/models/topics/config", "/predict/x", "/v1/rerank"])
def test_an_unknown_path_is_told_where_all_paths_are(everything: Client, path: str) -> None:
    refused = everything.post(path, {"inputs": "w1"})
    assert refused.status == 404 and "/openapi.json lists all paths" in refused.json["error"]


def test_a_path_with_a_slash_too_many_is_not_sent_elsewhere(everything: Client) -> None:
    answer = everything.post("/predict/", {"inputs": "w1"}, host="other.example")
    assert (answer.status, answer.json["error"]) == (404, "there is no /predict/; /openapi.json lists all paths")


def test_another_method_is_told_apart_from_another_path(everything: Client) -> None:
    refused = everything.get("/predict")
    assert refused.status == 405 and "POST" in refused.headers["allow"] and "/predict" in refused.json["error"]


@pytest.mark.parametrize("value", ["soon", "0", "-5", "nan", "inf", ""])
def test_a_deadline_must_be_a_positive_number(everything: Client, value: str) -> None:
    refused = everything.post("/predict", {"model": "topics", "inputs": "w1"}, x_request_timeout_ms=value)
    assert refused.status == 422 and "X-Request-Timeout-Ms must be a positive number" in refused.json["error"]


@pytest.fixture(scope="module")
def limited(library: None, artifacts: Path) -> Iterator[Client]:
    """A client of a server with small limits."""
    settings = ServeSettings(
        max_queue_ms=60_000, max_body_bytes=2000, max_texts=4, max_characters=500, max_request_tokens=100
    )
    with serving([str(artifacts / "topics")], settings, threads=1, backend="native") as client:
        yield client


@pytest.mark.parametrize(
    ("inputs", "reason", "numbers"),
    [
        ([["w1"]] * 5, "texts", ("5 texts", "4", "max_texts")),
        ("w1 " * 200, "characters", ("600 characters", "500", "max_characters")),
        (" ".join(["w1"] * 166), "tokens", ("tokens", "100", "max_request_tokens")),
        ("w1 " * 1000, "body", ("bytes", "2,000", "max_body_bytes")),
    ],
)
def test_a_request_over_a_limit_is_told_both_numbers(
    limited: Client, inputs: Any, reason: str, numbers: tuple[str, ...]
) -> None:
    assert limited.post("/predict", {"inputs": [["w1"]] * 4}).status == 200
    refused = limited.post("/predict", {"inputs": inputs})
    assert refused.status == 413 and refused.json["error_type"] == reason
    assert all(number in refused.json["error"] for number in numbers), refused.json
    assert limited.get("/info").json["limits"]["max_body_bytes"] == 2000


def test_a_compressed_body_is_unpacked_within_the_limit(limited: Client) -> None:
    body = json.dumps({"inputs": "w1"}).encode()
    plain = limited.post("/predict", body).json
    zipped = gzip.compress(body)
    packed = {"gzip": zipped, "GZIP": zipped, "deflate": zlib.compress(body), "identity": body}
    for encoding, content in packed.items():
        assert limited.post("/predict", content, content_encoding=encoding).json == plain
    bomb = limited.post("/predict", gzip.compress(b" " * 10_000_000)[:1999], content_encoding="gzip")
    assert bomb.status == 413 and "max_body_bytes" in bomb.json["error"]


ZIPPED = gzip.compress(b"{}")
PACKED: dict[str, tuple[str, bytes, int, str]] = {
    "brotli": ("br", b"x", 415, "Content-Encoding must be gzip, deflate or identity, got 'br'"),
    "gzip twice": ("gzip, gzip", ZIPPED, 415, "got 'gzip, gzip'"),
    "not gzip": ("gzip", b"{}", 422, "the body is not gzip"),
    "half a stream": ("gzip", ZIPPED[:-4], 422, "not one whole stream of gzip"),
    "more than a stream": ("gzip", ZIPPED + b"more", 422, "not one whole stream of gzip"),
    "nothing": ("deflate", b"", 422, "not one whole stream of deflate"),
}


@pytest.mark.parametrize("name", PACKED)
def test_another_compression_is_refused(limited: Client, name: str) -> None:
    encoding, content, status, text = PACKED[name]
    refused = limited.post("/predict", content, content_encoding=encoding)
    assert refused.status == status and text in refused.json["error"]


def test_no_refusal_quotes_a_text(everything: Client) -> None:
    secret = "confidential " * 20
    for path, body in {
        "/predict": {"model": "topics", "inputs": [["w1", secret]]},
        "/v1/models/pairs:predict": {"instances": [secret]},
        "/v1/models/roles:predict": {"instances": [{"text": secret, "predicate": 99}]},
        "/v2/models/topics/infer": {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": [secret]}]},
    }.items():
        refused = everything.post(path, body)
        assert refused.status == 422 and "confidential" not in refused.json["error"], path


def test_a_long_text_is_cut_and_said_to_be(everything: Client, models: dict[str, Any]) -> None:
    found = everything.ask("/v1/models/topics:predict", {"instances": ["w1", LONG]})["predictions"]
    assert [each["truncated"] for each in found] == [False, True]
