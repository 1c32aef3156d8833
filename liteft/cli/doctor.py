"""``liteft doctor``: check what works on this machine, or whether a server answers as it should."""

from __future__ import annotations

import typer

from liteft.cli import groups
from liteft.cli.flags.machine import Triton
from liteft.cli.flags.serving import Key, Serve
from liteft.errors import ConfigError

EXAMPLES = ("liteft doctor --triton runs/reviews/artifact/triton", "liteft doctor --serve http://127.0.0.1:8080")


@groups.flat
def doctor(*, serve: Serve = None, key: Key = None, triton: Triton = None, output: groups.Output) -> None:
    """Check what works on this machine and what does not; with --serve, check a running server instead.

    Each problem comes with the command that fixes it. The exit status is 1 if there is a problem. With --triton, a
    model repository is compared with what was written, and its library looked for.
    """
    console = output.console()
    if serve is not None and triton is not None:
        raise ConfigError(
            "--serve and --triton are two checks; one at a time can be run.",
            fix=[f"liteft doctor --serve {serve}", f"liteft doctor --triton {triton}"],
        )
    if serve is not None:
        from liteft.doctor.server import diagnose_server

        diagnosis = diagnose_server(serve, key=key)
        console.result(diagnosis.render(), diagnosis.to_dict())
        raise typer.Exit(diagnosis.exit_status)
    from liteft.doctor import diagnose

    diagnosis = diagnose() if triton is None else diagnose(triton=triton)
    following = () if diagnosis.problems else ("liteft", "demo", "--out", "demo-run")
    console.result(diagnosis.render(), diagnosis.to_dict(), following=following)
    raise typer.Exit(diagnosis.exit_status)
