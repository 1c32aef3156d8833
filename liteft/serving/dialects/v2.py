"""The Open Inference Protocol, version 2, of KServe and Triton, with its binary extension.

`signatures` says which inputs and outputs a model has.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

from liteft.serving.dialects.asked import outcome_of
from liteft.serving.dialects.bodies import body_of, decoded
from liteft.serving.dialects.signatures import Described, inputs_of, items_of, output_values, outputs_of
from liteft.serving.http import Reply, Request, encode_json
from liteft.serving.models import ServedModel
from liteft.serving.reading import Options
from liteft.serving.refusals import Refused, refused_input
from liteft.serving.service import Service
from liteft.serving.tensors import (
    InputTensor,
    OutputParameters,
    OutputTensor,
    RequestedOutput,
    binary_of,
    split_body,
)

__all__ = [
    "InferAnswer",
    "InferParameters",
    "InferRequest",
    "infer",
    "model_metadata",
    "model_ready",
    "server_metadata",
]

_VERSION = "1"


class InferParameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of a request for inference.

    Attributes:
        raw_scores, threshold: as in ``Options``.
        binary_data_output: give all outputs after the JSON.
        timeout: microseconds after which the answer is of no use, as Triton has it; 0 for never.
        priority: accepted, and not looked at: requests are computed in the order in which they come.
        content_type: of MLServer; accepted, and not looked at.
    """

    raw_scores: bool = False
    threshold: float | list[float] | None = None
    binary_data_output: bool = False
    timeout: int = 0
    priority: int = 0
    content_type: str | None = None


class InferRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of a request for inference.

    Attributes:
        inputs: tensors.
        outputs: those that are wanted; left out for all.
        id: comes back with the answer.
        parameters: of the request.
    """

    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None
    parameters: InferParameters | None = None


class InferAnswer(msgspec.Struct, omit_defaults=True):
    """The answer to a request for inference.

    Attributes:
        model_name, model_version: of the model.
        outputs: tensors.
        id: of the request.
        parameters: the model's revision.
    """

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None
    parameters: dict[str, str] = msgspec.field(default_factory=dict)


_decoder = msgspec.json.Decoder(InferRequest)


async def infer(service: Service, request: Request) -> Reply:
    """Answer POST /v2/models/NAME/infer."""
    model = _model(service, request)
    content, rest = split_body(await body_of(request), request.headers)
    asked = decoded(_decoder, content)
    given = asked.parameters or InferParameters()
    _limit_time(request, given.timeout)
    options = Options(threshold=given.threshold, raw_scores=given.raw_scores)
    items = items_of(asked.inputs, rest, model.loaded)
    wanted = asked.outputs or [RequestedOutput(each.name) for each in outputs_of(model.loaded)]
    _require_outputs(wanted, model)
    outcome, values = await outcome_of(service, request, model.name, items, options)
    everything = output_values(outcome, values, options)
    described = {each.name: each for each in outputs_of(outcome.loaded)}
    labels = outcome.loaded.classifier.labels
    made = [
        _tensor(described[output.name], everything[output.name], output.parameters, labels, given.binary_data_output)
        for output in wanted
    ]
    tensors, binary = [tensor for tensor, _ in made], b"".join(following for _, following in made)
    header = encode_json(InferAnswer(model.name, _VERSION, tensors, asked.id, {"revision": outcome.loaded.revision}))
    if not any(tensor.parameters for tensor in tensors):
        return Reply(header, outcome=outcome)
    length = (b"inference-header-content-length", b"%d" % len(header))
    return Reply(header + binary, kind=b"application/octet-stream", outcome=outcome, headers=[length])


async def model_metadata(service: Service, request: Request) -> Reply:
    """Answer GET /v2/models/NAME: exactly the inputs and outputs that `infer` has."""
    model = _model(service, request)
    content = {
        "name": model.name,
        "versions": [_VERSION],
        "platform": "liteft",
        "inputs": [each._asdict() for each in inputs_of(model.loaded)],
        "outputs": [each._asdict() for each in outputs_of(model.loaded)],
    }
    return Reply(encode_json(content))


async def model_ready(service: Service, request: Request) -> Reply:
    """Answer GET /v2/models/NAME/ready."""
    name = request.path["model"]
    _check_version(request)
    service.model(name)
    content = encode_json({"name": name, "ready": service.ready})
    return Reply(content, 200 if service.ready else 503)


async def server_metadata(_service: Service, _request: Request) -> Reply:
    """Answer GET /v2."""
    return Reply(encode_json({"name": "liteft", "version": version("liteft"), "extensions": _EXTENSIONS}))


_EXTENSIONS = ["binary_tensor_data", "classification"]


def _model(service: Service, request: Request) -> ServedModel:
    """Return the model that a path names. Raises Refused for another version than the only one."""
    _check_version(request)
    service.refuse_while_loading()
    return service.model(request.path["model"])


def _check_version(request: Request) -> None:
    asked = request.path.get("version", _VERSION)
    if asked != _VERSION:
        raise Refused(404, "input", f"there is no version {asked!r}; served is {_VERSION}")


def _limit_time(request: Request, microseconds: int) -> None:
    """Let a request's own parameter be its deadline, as the header is."""
    if not 0 <= microseconds < 1 << 63:
        raise refused_input(f"timeout must be 0 or a positive number of microseconds, got {microseconds}")
    if microseconds:
        request.headers = {**request.headers, b"x-request-timeout-ms": b"%f" % (microseconds / 1000)}


def _require_outputs(wanted: list[RequestedOutput], model: ServedModel) -> None:
    """Raise Refused if the model does not have an output, or not in the form that is wanted."""
    known = [each.name for each in outputs_of(model.loaded)]
    for output in wanted:
        if output.name not in known:
            raise refused_input(f"there is no output {output.name!r:.60}; this model's are {', '.join(known)}")
        classes = None if output.parameters is None else output.parameters.classification
        if classes is not None and (output.name != "probabilities" or classes < 1):
            raise refused_input(
                f"classification must be a positive integer for the output probabilities, got {classes} for "
                f"{output.name}"
            )


def _tensor(
    output: Described, values: Any, asked: OutputParameters | None, labels: tuple[str, ...], binary: bool
) -> tuple[OutputTensor, bytes]:
    """Return an output, and its bytes if they follow the JSON."""
    asked, datatype = asked or OutputParameters(), output.datatype
    shape = [len(values)] if isinstance(values, list) else list(values.shape)
    if asked.classification is not None:
        values, shape = _best(values, asked.classification, labels)
        datatype = "BYTES"
    if binary if asked.binary_data is None else asked.binary_data:
        content = binary_of(values, datatype)
        return OutputTensor(output.name, shape, datatype, parameters={"binary_data_size": len(content)}), content
    data = values if isinstance(values, list) else values.ravel().tolist()
    return OutputTensor(output.name, shape, datatype, data), b""


def _best(scores: np.ndarray, classes: int, labels: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """Return the best labels as Triton's classification extension writes them, "score:number:label", and the shape."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :classes]
    words = [
        f"{row[column]:f}:{column}:{labels[column]}"
        for row, columns in zip(scores, order.tolist(), strict=True)
        for column in columns
    ]
    return words, list(order.shape)
