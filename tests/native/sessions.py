"""Sessions of ONNX Runtime with and without libliteft's operator, and exported models for them."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime

from liteft.exporting.graph import build_model
from liteft.exporting.weights import read_weights
from liteft.exporting.wrapping import wrap_model
from liteft.finetuning.model import TorchClassifier
from liteft.form import Precision
from liteft.runtime.onnx_engine import session_options

Feed = dict[str, np.ndarray]
FATAL = 4  # ONNX Runtime's severity: errors that a test provokes are not printed


class Counters(NamedTuple):
    """What liteft_operator_counters says: kernels that exist, calls and rows that were computed."""

    kernels: int
    calls: int
    rows: int


def exported(loaded: TorchClassifier, precision: Precision = "fp32") -> onnx.ModelProto:
    """Return the model as the exporter writes it, one node and its definition."""
    weights = read_weights(loaded)
    return wrap_model(build_model(weights, precision), weights.spec, precision)


def open_session(
    model: onnx.ModelProto | Path, library: Path | None = None, **entries: str
) -> onnxruntime.InferenceSession:
    """Return a session on one thread of ONNX Runtime's own, with the operator where a library is given.

    ``entries`` are the session's own for the operator, without their prefix.
    """
    options = session_options()
    options.intra_op_num_threads, options.log_severity_level = 1, FATAL
    for name, value in entries.items():
        options.add_session_config_entry(f"liteft.{name}", value)
    if library is not None:
        options.register_custom_ops_library(str(library))
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, feed: Feed) -> np.ndarray:
    """Return the logits of a feed that may hold more than the model takes."""
    names = {value.name for value in session.get_inputs()}
    (logits,) = session.run(None, {name: array for name, array in feed.items() if name in names})
    return np.asarray(logits)


def read_counters(library: ctypes.CDLL) -> Counters:
    """Return the counters of this process."""
    places = [ctypes.c_uint64() for _ in Counters._fields]
    library.liteft_operator_counters(*(ctypes.byref(place) for place in places))
    return Counters(*(place.value for place in places))


def set_attribute(model: onnx.ModelProto, name: str, value: Any) -> None:
    """Replace an attribute of the model's node, or add it."""
    attributes = model.graph.node[0].attribute
    old = next((attribute for attribute in attributes if attribute.name == name), None)
    (attributes.add() if old is None else old).CopyFrom(onnx.helper.make_attribute(name, value))
