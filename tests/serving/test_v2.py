"""The Open Inference Protocol, in JSON and with Triton's own client and its binary extension."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.serving.asked import LONG, VALUES, tensors_of
from tests.serving.served import KINDS, Client

triton = pytest.importorskip("tritonclient.http", reason="the binary extension is tested with tritonclient[http]")


def plain(kind: str) -> list[Any]:
    """Return the values of a kind that are strings, which tensors can hold."""
    return [value for value in VALUES[kind] if not isinstance(value[0] if isinstance(value, tuple) else value, list)]


def outputs(answer: dict[str, Any]) -> dict[str, list[Any]]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def expected(model: Any, kind: str) -> dict[str, list[Any]]:
    """Return the values of all outputs, made of what ``predict`` gives, numbers flat."""
    values = plain(kind)
    found = model.predict(values)
    cut = {"truncated": [each.truncated for each in found]}
    if kind in ("scores", "ranking"):
        return {"score": [each.score for each in found]} | cut
    if kind == "questions":
        places = {name: [getattr(each, name) for each in found] for name in ("start", "end")}
        places = {name: [-1 if place is None else place for place in own] for name, own in places.items()}
        scores = np.float32([each.score for each in found]).tolist()
        return {"answer": [each.text for each in found], "score": scores} | places | cut
    if kind in ("words", "roles"):
        names = ("entity_group", "score", "word", "start", "end")
        spans = [[{name: span.to_dict()[name] for name in names} for span in each.spans] for each in found]
        return {"spans": spans} | cut
    every = [dict(each.top) for each in model.predict(values, top_k=len(model.labels))]
    made = {"label": [each.label for each in found], "score": [each.score for each in found]}
    made["probabilities"] = [own[label] for own in every for label in model.labels]
    if kind == "several":
        made["chosen"] = [label in each.labels for each in found for label in model.labels]
    return made | cut


def read(values: list[Any], kind: str) -> list[Any]:
    return list(map(json.loads, values)) if kind in ("words", "roles") else values


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_in_json_are_what_predict_gives(everything: Client, models: dict[str, Any], kind: str) -> None:
    answer = everything.ask(f"/v2/models/{kind}/infer", {"id": "a 7", "inputs": tensors_of(kind, plain(kind))})
    found = outputs(answer)
    if "spans" in found:
        found["spans"] = read(found["spans"], kind)
    assert found == expected(models[kind], kind)
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (kind, "1", "a 7")
    sizes = {output["name"]: int(np.prod(output["shape"])) for output in answer["outputs"]}
    assert sizes == {name: len(values) for name, values in found.items()}
    listed = everything.get(f"/v2/models/{kind}").json
    assert [(each["name"], each["datatype"]) for each in listed["outputs"]] == [
        (each["name"], each["datatype"]) for each in answer["outputs"]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_tritons_client_reads_the_same_from_binary_outputs(
    everything: Client, models: dict[str, Any], kind: str
) -> None:
    with triton.InferenceServerClient(everything.url.removeprefix("http://")) as client:
        inputs = []
        for tensor in tensors_of(kind, plain(kind)):
            given = triton.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
            kept = np.object_ if tensor["datatype"] == "BYTES" else np.int64
            given.set_data_from_numpy(np.array(tensor["data"], dtype=kept))
            inputs.append(given)
        answer = client.infer(kind, inputs, request_id="9")
    assert answer.get_response()["id"] == "9"
    for name, values in expected(models[kind], kind).items():
        array = answer.as_numpy(name)
        assert array.dtype != np.float64
        found = [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]
        assert (read(found, kind) if name == "spans" else found) == values, name


def texts_input(texts: list[str], *, binary: bool = True) -> Any:
    given = triton.InferInput("text", [len(texts)], "BYTES")
    given.set_data_from_numpy(np.array(texts, dtype=np.object_), binary_data=binary)
    return given


def test_tritons_client_may_mix_json_and_binary_and_choose_outputs(
    served: Callable[..., Client], models: dict[str, Any]
) -> None:
    wanted = [
        triton.InferRequestedOutput("truncated", binary_data=False),
        triton.InferRequestedOutput("probabilities", binary_data=True),
        triton.InferRequestedOutput("label", binary_data=True),
    ]
    with triton.InferenceServerClient(served("topics").url.removeprefix("http://")) as client:
        for binary in (True, False):
            answer = client.infer("topics", [texts_input(["w1", LONG, ""], binary=binary)], outputs=wanted)
            given = [each["name"] for each in answer.get_response()["outputs"]]
            assert given == ["truncated", "probabilities", "label"]
            assert answer.as_numpy("truncated").tolist() == [False, True, False]
            assert answer.as_numpy("probabilities").shape == (3, 5) and answer.as_numpy("score") is None
            found = [label.decode() for label in answer.as_numpy("label")]
            assert found == [each.label for each in models["topics"].predict(["w1", LONG, ""])]


@pytest.mark.parametrize("binary", [True, False])
def test_classes_are_written_as_triton_does(everything: Client, models: dict[str, Any], binary: bool) -> None:
    wanted = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)
    with triton.InferenceServerClient(everything.url.removeprefix("http://")) as client:
        found = client.infer("topics", [texts_input(["w1", "w2 w3"])], outputs=[wanted]).as_numpy("probabilities")
    labels = models["topics"].labels
    for row, prediction in zip(found, models["topics"].predict(["w1", "w2 w3"], top_k=2), strict=True):
        words = [each.decode() if isinstance(each, bytes) else each for each in row.tolist()]
        assert words == [f"{score:f}:{labels.index(label)}:{label}" for label, score in prediction.top]


def test_tritons_client_sees_what_is_served(everything: Client) -> None:
    with triton.InferenceServerClient(everything.url.removeprefix("http://")) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("topics") and client.is_model_ready("topics", "1")
        assert not client.is_model_ready("nothing") and not client.is_model_ready("topics", "2")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
        found = client.get_model_metadata("pairs", "1")
        assert found["platform"] == "liteft" and [each["name"] for each in found["inputs"]] == ["text", "pair"]
        with pytest.raises(triton.InferenceServerException, match="there is no model 'nothing'; served are topics"):
            client.infer("nothing", [texts_input(["w1"])])
        with pytest.raises(triton.InferenceServerException, match="this model's are text, pair"):
            client.infer("pairs", [triton_input("words")])


def triton_input(name: str) -> Any:
    given = triton.InferInput(name, [1], "BYTES")
    given.set_data_from_numpy(np.array(["w1"], dtype=np.object_))
    return given


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_tritons_client_may_compress_its_requests(everything: Client, algorithm: str) -> None:
    with triton.InferenceServerClient(everything.url.removeprefix("http://")) as client:
        plainly = client.infer("topics", [texts_input(["w1", "é"])])
        packed = client.infer(
            "topics",
            [texts_input(["w1", "é"])],
            request_compression_algorithm=algorithm,
            response_compression_algorithm="gzip",
        )
    assert packed.as_numpy("probabilities").tolist() == plainly.as_numpy("probabilities").tolist()


def test_tritons_timeout_is_a_deadline(everything: Client) -> None:
    with triton.InferenceServerClient(everything.url.removeprefix("http://")) as client:
        client.infer("topics", [texts_input(["w1"])], timeout=60_000_000, priority=1)
        with pytest.raises(triton.InferenceServerException, match="time was over"):
            client.infer("topics", [texts_input(["w1"])], timeout=1)


def infer(client: Client, body: Any, **headers: str) -> Any:
    return client.post("/v2/models/topics/infer", body, **headers)


def text_tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["w1", "w2"]} | changes]}


def test_data_may_be_nested_or_flat(served: Callable[..., Client]) -> None:
    client = served("topics")
    flat = infer(client, text_tensor()).json
    assert infer(client, text_tensor(shape=[2, 1])).json == flat
    assert infer(client, text_tensor(shape=[2, 1], data=[["w1"], ["w2"]])).json == flat
    empty = outputs(infer(client, text_tensor(shape=[0], data=[])).json)
    assert empty == {"label": [], "score": [], "probabilities": [], "truncated": []}
    packed = gzip.compress(json.dumps(text_tensor()).encode())
    assert infer(client, packed, content_encoding="gzip").json == flat


def test_parameters_choose_scores_and_labels(everything: Client, models: dict[str, Any]) -> None:
    asked = {"inputs": tensors_of("several", ["w1 w2 w3"])}
    raw = everything.ask("/v2/models/several/infer", asked | {"parameters": {"raw_scores": True}})
    assert outputs(raw)["probabilities"] == models["several"].logits(["w1 w2 w3"])[0].tolist()
    for threshold in (0.3, 0.6):
        found = everything.ask("/v2/models/several/infer", asked | {"parameters": {"threshold": threshold}})
        chosen = models["several"].predict("w1 w2 w3", threshold=threshold).labels
        assert outputs(found)["chosen"] == [label in chosen for label in models["several"].labels]


WRONG: dict[str, tuple[Any, str]] = {
    "another name": (text_tensor(name="texts"), "there is an input 'texts'; this model's are text"),
    "another datatype": (text_tensor(datatype="FP32"), "must have the datatype BYTES, got 'FP32'"),
    "too few values": (text_tensor(shape=[3]), "has the shape [3] and 2 values"),
    "too many axes": (text_tensor(shape=[1, 2]), "must have the shape [N] or [N, 1], got [1, 2]"),
    "no axes": (text_tensor(shape=[], data=["w1"]), "must have the shape [N] or [N, 1], got []"),
    "a negative size": (text_tensor(shape=[-1]), "must have the shape [N] or [N, 1], got [-1]"),
    "a huge size": (text_tensor(shape=[10**40]), "values"),
    "numbers": (text_tensor(data=["w1", 2]), "value 1 of text must be a string, got 2"),
    "nested twice": (text_tensor(data=[[["w1"]], ["w2"]]), "value 0 of text must be a string"),
    "no data": (text_tensor(data=None), "has the shape [2] and 0 values"),
    "no inputs": ({"inputs": []}, "the inputs text must have as many values each"),
    "an input twice": ({"inputs": text_tensor()["inputs"] * 2}, "the input text is given twice"),
    "shared memory": (
        text_tensor(data=None, parameters={"shared_memory_region": "x"}),
        "unknown field `shared_memory_region` - at `$.inputs[0].parameters`; accepted fields: binary_data_size",
    ),
    "an unknown output": (text_tensor() | {"outputs": [{"name": "logits"}]}, "this model's are label, score"),
    "an unknown parameter": (text_tensor() | {"parameters": {"top_k": 1}}, "accepted fields: raw_scores, threshold"),
    "a typo": (text_tensor() | {"output": []}, "did you mean 'outputs'?"),
    "classes of labels": (
        text_tensor() | {"outputs": [{"name": "label", "parameters": {"classification": 1}}]},
        "a positive integer for the output probabilities, got 1 for label",
    ),
    "no classes": (
        text_tensor() | {"outputs": [{"name": "probabilities", "parameters": {"classification": 0}}]},
        "a positive integer for the output probabilities, got 0",
    ),
    "a threshold": (text_tensor() | {"parameters": {"threshold": 0.5}}, "for models of several labels"),
    "a negative time": (text_tensor() | {"parameters": {"timeout": -1}}, "timeout must be 0 or a positive number"),
    "a huge time": (text_tensor() | {"parameters": {"timeout": 10**400}}, "timeout must be 0 or a positive number"),
    "a number as id": (text_tensor() | {"id": 7}, "Expected `str | null`, got `int` - at `$.id`"),
    "deep data": (b'{"inputs": [{"data": ' + b"[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_with_what_would(served: Callable[..., Client], name: str) -> None:
    body, text = WRONG[name]
    refused = infer(served("topics"), body)
    assert refused.status == 422 and refused.json["error_type"] == "input"
    assert text in refused.json["error"]


def binary(content: bytes, *, size: int | None = None, shape: int = 1, **changes: Any) -> tuple[bytes, str]:
    """Return a body with one binary tensor, and the length of its JSON."""
    parameters = {"binary_data_size": len(content) if size is None else size}
    tensor = {"name": "text", "shape": [shape], "datatype": "BYTES", "parameters": parameters}
    header = json.dumps({"inputs": [tensor | changes]}).encode()
    return header + content, str(len(header))


def string(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


BROKEN: dict[str, tuple[tuple[bytes, str], str]] = {
    "a cut length": (binary(b"\x01\x00"), "ends within value 0"),
    "a cut string": (binary(b"\x05\x00\x00\x00abcd"), "ends within value 0"),
    "a huge string": (binary(b"\xff\xff\xff\xffa"), "ends within value 0"),
    "a cut second string": (binary(string(b"w1") + b"\x09", shape=2), "ends within value 1"),
    "Latin-1": (binary(string(b"\xe9")), "value 0 of text is not UTF-8"),
    "too few": (binary(string(b"w1"), shape=2), "has the shape [2] and 1 values"),
    "too many": (binary(string(b"w1") * 2), "has the shape [1] and 2 values"),
    "a size beyond the body": (binary(string(b"w1"), size=99), "has the binary_data_size 99, and 6 bytes follow"),
    "a negative size": (binary(string(b"w1"), size=-1), "has the binary_data_size -1"),
    "a size that leaves bytes": (binary(string(b"w1") + b"xyz", size=6), "3 bytes follow the last tensor"),
    "data besides": (binary(string(b"w1"), data=["w1"]), "has both data and binary_data_size"),
    "a length beyond the body": ((binary(string(b"w1"))[0], "99999"), "Inference-Header-Content-Length must be 0 to"),
    "a length that is none": ((binary(string(b"w1"))[0], "x"), "Inference-Header-Content-Length must be 0 to"),
    "a very long length": ((binary(string(b"w1"))[0], "9" * 5000), "Inference-Header-Content-Length must be 0 to"),
    "a length of 0": ((binary(string(b"w1"))[0], "0"), "not valid JSON"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_buffer_is_refused_with_what_is_wrong(served: Callable[..., Client], name: str) -> None:
    (body, length), text = BROKEN[name]
    refused = infer(served("topics"), body, inference_header_content_length=length)
    assert refused.status == 422 and text in refused.json["error"]


def test_damaged_requests_are_answered_or_refused_and_never_fail(served: Callable[..., Client]) -> None:
    client, random = served("topics"), np.random.default_rng(0)
    body, length = binary(string(b"w1") + string("é w2".encode()) + string(b""), shape=3)
    seen = set()
    for _ in range(300):
        damaged = bytearray(body)
        for place in random.integers(0, len(body), random.integers(1, 3)):
            damaged[place] = random.integers(256)
        if random.random() < 0.3:
            damaged = damaged[: random.integers(len(body))]
        seen.add(infer(client, bytes(damaged), inference_header_content_length=length).status)
    assert seen == {200, 422}
