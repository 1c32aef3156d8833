"""Checks that a model fits into one ONNX file, for which protobuf's limit is 2 GB, before anything is built."""

from __future__ import annotations

from pathlib import Path

from liteft.errors import ModelError, option
from liteft.form import ExportForm, Precision

__all__ = ["MOST_BYTES", "check_size"]

MOST_BYTES = 2**31 - 2**24
_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}


def check_size(path: Path, parameters: int, form: ExportForm, *, traced: bool = False) -> None:
    """Refuse a model whose graph, or a graph needed to make it, would exceed what protobuf can store.

    Args:
        path: of the model, for the message.
        parameters: how many it has.
        form: of the artifact; static int8 needs the float32 graph for calibration.
        traced: the graph is traced, which starts from float32 in every precision.

    Raises:
        ModelError: a graph would be too large.
    """
    calibrated = form.calibrated
    precision: Precision = "fp32" if traced or calibrated else form.precision
    size = parameters * _BYTES[precision]
    if size <= MOST_BYTES:
        return
    why = f" in {form.precision}"
    if precision != form.precision:
        why = ", traced in fp32" if traced else " in fp32, on which static int8 is calibrated"
    smaller = [] if traced else [each for each in ("int8", "fp16") if parameters * _BYTES[each] <= MOST_BYTES]
    hints = [option("precision", each) for each in smaller if each != form.precision]
    if calibrated and smaller and not traced:
        hints = [option("scheme", "per_row")]
    raise ModelError(
        f"{path} has {parameters:,} parameters, {size / 1e9:.1f} GB as a graph{why}.",
        accepted={"one ONNX file": "2 GB"},
        fix=[*hints, "distil it into a smaller student"],
    )
