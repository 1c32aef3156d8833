"""Flags of the machine that computes, and those that most commands have."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_machine = panel("Machine")
_general = panel("General")

Threads = Annotated[
    int | None,
    _machine(
        "--threads",
        metavar="N",
        help="CPU threads; if left out, OMP_NUM_THREADS or one per core; to run artifacts, LITEFT_THREADS first.",
    ),
]
Device = Annotated[
    str, _machine("--device", metavar="NAME", help="cpu or cuda; predict also takes auto, the best there is.")
]
Backend = Annotated[
    str, _machine("--backend", metavar="NAME", help="Engine that runs the artifact: auto, native, or onnxruntime.")
]
EnginePrecision = Annotated[
    str | None,
    _machine(
        "--engine-precision",
        metavar="KIND",
        help="Compute a float artifact in bf16, or in fp16 on CUDA, or an int8 one in int8 there; native engine only.",
    ),
]

Processes = Annotated[
    int,
    _machine(
        "--processes",
        metavar="N",
        help="Train in N processes of this machine, one per GPU if it has any; they share the texts of each step.",
    ),
]

Engine = Annotated[
    str,
    _machine(
        "--engine",
        metavar="NAME",
        help="Where independent parts of the work run: local, on this machine; ray, as tasks of a Ray cluster; or, "
        "for tables, spark.",
    ),
]

Out = Annotated[str, _general("--out", metavar="FOLDER", help="Folder for the result.")]
Overwrite = Annotated[
    bool, _general("--overwrite", help="Replace an artifact or output file that was made from something else.")
]
Trust = Annotated[
    bool,
    _general(
        "--trust",
        help="Load graphs and tokenizers that LiteFT does not know, which can do harm: only from a source you trust.",
    ),
]
Triton = Annotated[
    str | None, _general("--triton", metavar="FOLDER", help="A model repository for Triton that is to be checked, too.")
]
EveryTensor = Annotated[bool, _general("--all", help="Show every tensor, not only the largest.")]
RecipeFile = Annotated[
    str | None, _general("--recipe", metavar="FILE", help="TOML file of settings; flags override it.")
]
Assigned = Annotated[
    list[str] | None,
    _general(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Any other setting of the recipe, such as data.seed=1 or teacher.warmup=0.1; may be repeated.",
    ),
]
AsJson = Annotated[bool, _general("--json", help="Print the result as one JSON document.")]
NoTexts = Annotated[
    bool,
    _general(
        "--no-texts",
        help="Show no text in files, lists, progress and errors, but file and row; or LITEFT_NO_TEXTS=1.",
    ),
]
Private = Annotated[
    bool,
    _general(
        "--private",
        help="Write files and folders for their owner alone (0600, 0700), whatever the umask; or LITEFT_PRIVATE=1.",
    ),
]
Quiet = Annotated[bool, _general("--quiet", "-q", help="Print no progress on stderr.")]
