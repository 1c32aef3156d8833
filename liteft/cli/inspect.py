"""``liteft inspect``: show what an artifact consists of, and where it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from liteft.cli import groups
from liteft.cli.flags.machine import EveryTensor, Trust

Source = Annotated[str, typer.Argument(metavar="ARTIFACT_OR_ONNX", help="An artifact's folder, or an ONNX file.")]

EXAMPLES = ("liteft inspect runs/reviews/artifact", "liteft inspect model.onnx --all")


@groups.flat
def inspect(*, source: Source, every: EveryTensor = False, trust: Trust = False, output: groups.Output) -> None:
    """Show what a model consists of (bytes, tensors, operators, integer matmuls) and where it runs.

    Engines that are installed here are tried; for others, the answer is looked up, and its source is named.
    """
    from liteft.inspection import inspect as inspected

    console = output.console()
    found = inspected(console.artifact_of(source), trust=trust)
    console.result(found.render(tensors=None if every else 12), found.to_dict())
