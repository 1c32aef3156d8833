"""``liteft doctor``: what works on this machine and what does not."""

from __future__ import annotations

import typer

from liteft.cli import groups

EXAMPLES = ("liteft doctor", "liteft doctor --json")


@groups.flat
def doctor(*, output: groups.Output) -> None:
    """Say what works on this machine and what does not.

    What is broken comes with the command that mends it. Exit status 1 if something is broken.
    """
    from liteft.doctor import diagnose

    diagnosis = diagnose()
    console = output.console()
    following = () if diagnosis.problems else ("liteft", "demo", "--out", "demo-run")
    console.result(diagnosis.render(), diagnosis.to_dict(), following=following)
    raise typer.Exit(diagnosis.exit_status)
