"""``liteft demo``: run everything on a small bundled data set, in minutes."""

from __future__ import annotations

from pathlib import Path

from liteft.cli import groups
from liteft.cli.flags.data import Task
from liteft.cli.flags.machine import Out, Overwrite

EXAMPLES = ("liteft demo", "liteft demo --task tokens --out tagger --json")


@groups.flat
def demo(*, out: Out = "demo-run", task: Task = None, overwrite: Overwrite = False, output: groups.Output) -> None:
    """Run everything on bundled data, in minutes: teacher, student, control, int8 artifact and comparison.

    The texts are support requests with one label each; with --task tokens they are messages in which names, places,
    dates and amounts are marked.
    """
    from liteft.demo import run_demo

    console = output.console()
    chosen = {} if task is None else {"task": task}
    shown = run_demo(Path(out), **chosen, overwrite=overwrite, progress=console.progress)
    artifact = Path(out) / "artifact"
    following = ["liteft", "predict", str(artifact), "a text"] if artifact.is_dir() else []
    console.result(shown.render(), shown.to_dict(), following=following)
