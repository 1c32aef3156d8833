"""Flags of the machine that computes, and those that most commands have."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_machine = panel("Machine")
_general = panel("General")

Threads = Annotated[
    int | None, _machine("--threads", metavar="N", help="CPU threads; by the environment or the cores if left out.")
]
Device = Annotated[str, _machine("--device", metavar="NAME", help="cpu or cuda; to predict also auto, the best.")]
Backend = Annotated[str, _machine("--backend", metavar="NAME", help="auto, native or onnxruntime.")]
EnginePrecision = Annotated[
    str | None,
    _machine(
        "--engine-precision", metavar="KIND", help="To compute a float artifact in, natively: bf16, or fp16 on CUDA."
    ),
]

Out = Annotated[str, _general("--out", metavar="FOLDER", help="Where the result goes.")]
Overwrite = Annotated[bool, _general("--overwrite", help="Replace an artifact or output of something else.")]
Trust = Annotated[
    bool, _general("--trust", help="Take graphs and tokenizers that LiteFT does not know; they may do any harm.")
]
EveryTensor = Annotated[bool, _general("--all", help="Show every tensor, and not the largest ones alone.")]
RecipeFile = Annotated[
    str | None, _general("--recipe", metavar="FILE", help="TOML file of settings; flags override it.")
]
Assigned = Annotated[
    list[str] | None,
    _general(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Any other setting of a recipe, as data.seed=1 or teacher.warmup=0.1. May be repeated.",
    ),
]
AsJson = Annotated[bool, _general("--json", help="Print the result as one JSON document.")]
Quiet = Annotated[bool, _general("--quiet", "-q", help="No progress on stderr.")]
