"""``liteft doctor``: check what works on this machine."""

from __future__ import annotations

import typer

from liteft.cli import groups
from liteft.cli.flags.machine import Triton

EXAMPLES = ("liteft doctor --json", "liteft doctor --triton runs/reviews/artifact/triton")


@groups.flat
def doctor(*, triton: Triton = None, output: groups.Output) -> None:
    """Check what works on this machine and what does not.

    Each problem comes with the command that fixes it. The exit status is 1 if there is a problem. With --triton, a
    model repository is compared with what was written, and its library looked for.
    """
    from liteft.doctor import diagnose

    diagnosis = diagnose() if triton is None else diagnose(triton=triton)
    console = output.console()
    following = () if diagnosis.problems else ("liteft", "demo", "--out", "demo-run")
    console.result(diagnosis.render(), diagnosis.to_dict(), following=following)
    raise typer.Exit(diagnosis.exit_status)
