"""``liteft demo``: the whole way on a small bundled data set, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liteft.cli import options as o

Out = Annotated[str, typer.Option("--out", metavar="FOLDER", help="Where everything goes.")]


@o.flat
def demo(*, out: Out = "demo-run", overwrite: o.OverwriteWhole = False, output: o.Output) -> None:
    """Go the whole way on bundled data, in minutes."""
    from liteft.demo import run_demo

    console = output.console()
    shown = run_demo(Path(out), overwrite=overwrite, progress=console.progress)
    artifact = Path(out) / "artifact"
    following = ["liteft", "predict", str(artifact), "a text"] if artifact.is_dir() else []
    console.result(shown.render(), shown.to_dict(), following=following)
