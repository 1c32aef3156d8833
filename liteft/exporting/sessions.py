"""Runs graphs in memory with ONNX Runtime, for calibration and sensitivity, and counts optimized nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from liteft import files
from liteft.encoded import Encoded
from liteft.ragged import Ragged, offsets_of
from liteft.runtime.onnx_engine import import_onnxruntime, session_options

__all__ = ["new_session", "optimized_kinds", "run_logits", "token_batches"]

_MOST_TOKENS = 2048


def new_session(model: onnx.ModelProto) -> Any:
    """Return an ONNX Runtime session on the CPU for a model of less than 2 GB."""
    onnxruntime = import_onnxruntime()
    return onnxruntime.InferenceSession(model.SerializeToString(), _options(), providers=["CPUExecutionProvider"])


def optimized_kinds(path: Path) -> Counter[str]:
    """Return how many nodes of each operator a file has after ONNX Runtime has optimized it."""
    onnxruntime = import_onnxruntime()
    with files.temporary_folder() as folder:
        options = _options()
        options.optimized_model_filepath = str(folder / "model.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        written = onnx.load(options.optimized_model_filepath, load_external_data=False)
    return Counter(node.op_type for node in written.graph.node)


def token_batches(encoded: Encoded) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield batches of texts of equal length, without padding; texts without any token are left out.

    Yields:
        The rows of the texts, and the graph's inputs by name: int64, shape (texts, tokens).
    """
    lengths = encoded.lengths
    for length in np.unique(lengths[lengths > 0]):
        rows = np.flatnonzero(lengths == length)
        step = max(1, _MOST_TOKENS // int(length))
        for begin in range(0, len(rows), step):
            chosen = rows[begin : begin + step]
            ids, mask, types = encoded[chosen].padded(0)
            yield chosen, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def run_logits(model: onnx.ModelProto, encoded: Encoded) -> np.ndarray:
    """Run a model on texts, each with at least one token, and return the logits, float32.

    Their shape is (texts, labels) or, of a model that gives logits per token, (tokens, labels).
    """
    session = new_session(model)
    names = {value.name for value in session.get_inputs()}
    parts, order, axes = [], [], 2
    for rows, feed in token_batches(encoded):
        found = session.run(["logits"], {name: array for name, array in feed.items() if name in names})[0]
        axes = found.ndim
        parts.append(found.reshape(-1, found.shape[-1]))
        order.append(rows)
    logits, ran = np.concatenate(parts), np.concatenate(order)
    counts = encoded.lengths[ran] if axes == 3 else np.ones_like(ran)
    return Ragged(logits, offsets_of(counts))[np.argsort(ran)].values


def _options() -> Any:
    options = session_options()
    options.enable_mem_pattern = False
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # waiting threads leave the cores to others
    return options
