"""``liteft demo``: the whole way on a small bundled data set, in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liteft.cli import options as o

Out = Annotated[str, typer.Option("--out", metavar="FOLDER", help="Where everything goes.")]


def demo(out: Out = "demo-run", as_json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Go the whole way on bundled data, in minutes."""
    from liteft.cli.console import Console
    from liteft.demo import run_demo

    console = Console(as_json=as_json, quiet=quiet)
    shown = run_demo(Path(out), progress=console.progress)
    artifact = Path(out) / "artifact"
    following = ["liteft", "predict", str(artifact), "a text"] if artifact.is_dir() else []
    console.result(shown.render(), shown.to_dict(), following=following)
