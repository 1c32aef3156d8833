"""Triton's model configuration, config.pbtxt: protobuf's text format, in the fields of model_config.proto.

Queues are bounded, and a request that waited too long is refused rather than answered late. Batches are made of what is
queued, without waiting for more: the work is linear in tokens, so that waiting gains nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liteft.triton.tensors import LABELS_FILE, Tensor

__all__ = ["MOST_TEXTS", "WARMUP", "ensemble_config", "graph_config", "python_config", "warmup_inputs"]

MOST_TEXTS = 256
"""Texts of one run, at most; also those of one request."""
WARMUP = "warmup"
"""Triton's folder for the data of warm-up requests, beside the configuration."""
_QUEUE = {
    "max_queue_size": 2048,
    "default_timeout_microseconds": 2_000_000,
    "allow_timeout_override": True,
}


class Word(str):
    """A value of an enumeration, which is written without quotes."""

    __slots__ = ()


def python_config(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, warmup: Mapping[str, Any]) -> str:
    """Return the configuration of a model in the Python backend.

    Args:
        name: of the model, and of its folder.
        inputs, outputs: its tensors.
        warmup: as from `warmup_inputs`.
    """
    return _written(
        name,
        backend="python",
        io=_io(inputs, outputs, raggeds=False),
        more={
            "parameters": {"key": "threads", "value": {"string_value": ""}},  # "": those of the environment
            "model_warmup": {"name": "first", "batch_size": 1, "inputs": list(warmup.values())},
        },
    )


def graph_config(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, warmup: Mapping[str, Any], library: str
) -> str:
    """Return the configuration of a ragged graph in the ONNX Runtime backend.

    Args:
        name: of the model, and of its folder.
        inputs, outputs: its tensors.
        warmup: as from `warmup_inputs`.
        library: path of libliteft where Triton runs.
    """
    return _written(
        name,
        backend="onnxruntime",
        io=_io(inputs, outputs, raggeds=True),
        more={
            "model_operations": {"op_library_filename": [library]},
            "parameters": [  # what is left to ONNX Runtime is small: the operator has threads of its own
                {"key": key, "value": {"string_value": "1"}}
                for key in ("intra_op_thread_count", "inter_op_thread_count")
            ],
            "model_warmup": {"name": "first", "batch_size": 1, "inputs": list(warmup.values())},
        },
    )


def ensemble_config(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, steps: Sequence[tuple[str, list[str], list[str]]]
) -> str:
    """Return the configuration of an ensemble whose tensors have the same names in all of its steps.

    Args:
        name: of the ensemble, and of its folder.
        inputs, outputs: its tensors.
        steps: model, names of its inputs, names of its outputs.
    """
    step = [
        {
            "model_name": model,
            "model_version": -1,
            "input_map": [{"key": each, "value": each} for each in taken],
            "output_map": [{"key": each, "value": each} for each in given],
        }
        for model, taken, given in steps
    ]
    content = {
        "name": name,
        "platform": "ensemble",
        "max_batch_size": MOST_TEXTS,
        **_io(inputs, outputs, raggeds=False),
        "ensemble_scheduling": {"step": step},
    }
    return "\n".join(_lines(content)) + "\n"


def warmup_inputs(tensors: Sequence[Tensor], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the inputs of a warm-up request, by name; the data of each is the file of its name in `WARMUP`.

    Args:
        tensors: of the model.
        shapes: of the data, without the axis of texts.
    """
    return {
        each.name: {
            "key": each.name,
            "value": {"data_type": Word(each.data_type), "dims": list(shapes[each.name]), "input_data_file": each.name},
        }
        for each in tensors
    }


def _written(name: str, *, backend: str, io: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    queue = {"timeout_action": Word("REJECT"), **_QUEUE}
    content = {
        "name": name,
        "backend": backend,
        "max_batch_size": MOST_TEXTS,
        **io,
        "dynamic_batching": {"default_queue_policy": queue},
        "instance_group": {"count": 1, "kind": Word("KIND_CPU")},
        **more,
    }
    return "\n".join(_lines(content)) + "\n"


def _io(inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, raggeds: bool) -> dict[str, Any]:
    """Return the tensors as fields; ``raggeds``: the model takes ragged inputs in one axis."""
    return {
        "input": [_tensor(each) | ({"allow_ragged_batch": True} if raggeds and each.ragged else {}) for each in inputs],
        "output": [_tensor(each) | ({"label_filename": LABELS_FILE} if each.labelled else {}) for each in outputs],
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "data_type": Word(tensor.data_type), "dims": list(tensor.dims)}


def _lines(message: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield the lines of a message; a list of messages is the field, repeated."""
    for key, value in message.items():
        for each in value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]:
            if isinstance(each, dict):
                yield f"{indent}{key} {{"
                yield from _lines(each, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{key}: {_scalar(each)}"


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, Word):
        return str.__str__(value)
    return json.dumps(value, ensure_ascii=False)  # of quoted ASCII, numbers, true and false, the same as protobuf's
