"""Flags of the artifact: its form, and the budget that a search keeps."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel
from liteft.schemes import SCHEMES

_export = panel("Export")
_budget = panel("Budget")

Precision = Annotated[
    str | None,
    _export("--precision", metavar="KIND", help="Precision of the artifact: int8 (if left out), fp16, or fp32."),
]
Scheme = Annotated[
    str | None,
    _export(
        "--scheme",
        metavar="KIND",
        help=f"How int8 rounds activations: {', or '.join(each.help for each in SCHEMES.values())}.",
    ),
]
Calibration = Annotated[
    str | None,
    _export(
        "--calibration", metavar="KIND", help="How static int8 chooses its ranges: percentile (if left out), or mse."
    ),
]
WeightBits = Annotated[
    int | None,
    _export(
        "--weight-bits", metavar="N", help="Bits of int8 weights: 8, or 7 for ONNX Runtime on x86-64 without VNNI."
    ),
]
EmbeddingBits = Annotated[
    int | None,
    _export("--embedding-bits", metavar="N", help="Bits of int8 word embeddings: 8, or 4 for half the size."),
]
Mixed = Annotated[
    bool | None,
    _export("--mixed", help="Where int8 loses too much, keep the most sensitive layers in float until it does not."),
]
Flat = Annotated[
    bool | None,
    _export("--flat", help="Write standard ONNX nodes only, instead of one node with its definition in the file."),
]
Target = Annotated[
    str | None,
    _export(
        "--target",
        metavar="TARGET",
        help="edge: a layout for browsers and phones (transformers.js), with a flat graph; triton: with a model "
        "repository for Triton Inference Server, also of a finished artifact.",
    ),
]
ModelName = Annotated[
    str | None,
    _export(
        "--name",
        metavar="NAME",
        help="For --target triton of a finished artifact: the model's name in Triton; if left out, that of its data "
        "or folder.",
    ),
]
Tolerance = Annotated[
    float | None,
    _export(
        "--tolerance",
        metavar="POINTS",
        help="Points of accuracy that the export may lose against its own model; 0.5 if left out.",
    ),
]

MaxMb = Annotated[
    float | None,
    _budget("--max-mb", metavar="MB", help="Limit for the artifact's folder, in MB of 10^6 bytes, such as 9.5."),
]
MaxMs = Annotated[
    float | None,
    _budget(
        "--max-ms", metavar="MS", help="Limit for classifying one text on this machine, in milliseconds, such as 2."
    ),
]
MaxDrop = Annotated[
    float | None,
    _budget(
        "--max-drop", metavar="POINTS", help="How far below the teacher on the validation split, in points, such as 1."
    ),
]
