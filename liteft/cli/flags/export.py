"""Flags of the artifact: its form, and the budget that a search keeps."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel
from liteft.schemes import SCHEMES

_export = panel("Export")
_budget = panel("Budget")

Precision = Annotated[
    str | None, _export("--precision", metavar="KIND", help="Of the artifact: int8 (if left out), fp16 or fp32.")
]
Scheme = Annotated[
    str | None,
    _export("--scheme", metavar="KIND", help=f"Of int8: {', or '.join(each.help for each in SCHEMES.values())}."),
]
Calibration = Annotated[
    str | None, _export("--calibration", metavar="KIND", help="Of static int8: percentile (if left out), or mse.")
]
WeightBits = Annotated[
    int | None, _export("--weight-bits", metavar="N", help="Of int8: 8, or 7 for ONNX Runtime on x86-64 without VNNI.")
]
EmbeddingBits = Annotated[
    int | None, _export("--embedding-bits", metavar="N", help="Of int8's word embeddings: 8, or 4, which halves them.")
]
Mixed = Annotated[
    bool | None, _export("--mixed", help="Where int8 loses too much, keep the worst layers in float until it does not.")
]
Flat = Annotated[
    bool | None, _export("--flat", help="Many standard nodes instead of one node with its definition in the file.")
]
Target = Annotated[
    str | None, _export("--target", metavar="TARGET", help="edge: for phones and browsers, flat, for transformers.js.")
]
Tolerance = Annotated[
    float | None,
    _export(
        "--tolerance", metavar="POINTS", help="Accuracy that an export may lose to its own model; 0.5 if left out."
    ),
]

MaxMb = Annotated[
    float | None, _budget("--max-mb", metavar="MB", help="Of the artifact's folder, in 10^6 bytes, as 9.5.")
]
MaxMs = Annotated[float | None, _budget("--max-ms", metavar="MS", help="To classify one text on this machine, as 2.")]
MaxDrop = Annotated[
    float | None, _budget("--max-drop", metavar="POINTS", help="Below the teacher, on the validation split, as 1.")
]
