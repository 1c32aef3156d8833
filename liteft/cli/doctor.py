"""``liteft doctor``: check what works on this machine."""

from __future__ import annotations

import typer

from liteft.cli import groups

EXAMPLES = ("liteft doctor", "liteft doctor --json")


@groups.flat
def doctor(*, output: groups.Output) -> None:
    """Check what works on this machine and what does not.

    Each problem comes with the command that fixes it. The exit status is 1 if there is a problem.
    """
    from liteft.doctor import diagnose

    diagnosis = diagnose()
    console = output.console()
    following = () if diagnosis.problems else ("liteft", "demo", "--out", "demo-run")
    console.result(diagnosis.render(), diagnosis.to_dict(), following=following)
    raise typer.Exit(diagnosis.exit_status)
