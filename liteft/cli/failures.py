"""Turn every failure of a command into a message on stderr and an exit status.

typer's own handling is not used: it prints boxes, and hides interrupts behind an exit status. Here every message has
the three parts of the library's errors: what was seen, what is accepted, and what to do.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator

import typer

from liteft.cli.console import OutputClosed, tell
from liteft.cli.signals import Ended, ending_like_interrupts
from liteft.cli.usage import usage_text
from liteft.errors import ConfigError, LiteftError, MissingExtraError, first_line
from liteft.installation import extra_of, install_hint
from liteft.privacy import NO_TEXTS, PRIVATE, shows_all, traceback_of

__all__ = ["run_command"]

_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's; newer typers carry it inside
_HELP = {"-h", "--help", "--version"}
_RESUMED = ("pretrain", "finetune", "distill", "search", "score", "demo")
_TRACEBACK = "LITEFT_TRACEBACK"


def run_command(app: typer.Typer, arguments: list[str]) -> int:
    """Run ``app`` with arguments and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a character that the terminal cannot show must not end the command
            stream.reconfigure(errors="backslashreplace")
    with _as_before():
        return _ended(app, arguments)


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Restore the umask and the environment, which flags may change, after the command: others may follow it."""
    umask, environment = os.umask(0o077), dict(os.environ)
    os.umask(umask)
    try:
        yield
    finally:
        os.umask(umask)
        for name in (NO_TEXTS, PRIVATE):
            os.environ.pop(name, None)
            os.environ.update({name: environment[name]} if name in environment else {})


def _ended(app: typer.Typer, arguments: list[str]) -> int:
    """Run ``app``, and tell how it failed if it did."""
    try:
        with ending_like_interrupts():
            return _run(app, arguments)
    except KeyboardInterrupt as error:
        tell(_interrupted_text(error, arguments))
        return 128 + (error.number if isinstance(error, Ended) else signal.SIGINT)
    except Exception as error:
        if os.environ.get(_TRACEBACK, "0") not in ("", "0"):
            raise
        tell(_mistake_text(error, arguments))
        return 1


def _run(app: typer.Typer, arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("liteft", [*arguments]) as context:
            command.invoke(context)
        sys.stdout.flush()
        return 0
    except typer.Exit as left:
        return left.exit_code
    except SystemExit:
        if arguments and not _HELP & set(arguments):
            raise  # a library ends the process, and says why
        return 141  # from rich, when nobody reads the help; rich has already closed stdout
    except _USAGE_ERROR as error:
        tell(usage_text(error, arguments, command))
        return 2
    except (OutputClosed, BrokenPipeError) as error:
        if isinstance(error, BrokenPipeError) and not _HELP & set(arguments):
            raise  # of another pipe: for our stdout, Console raises OutputClosed
        _drop_stdout()
        return 141
    except LiteftError as error:
        tell(f"{type(error).__name__}: {error.command_text()}")
        return 2 if isinstance(error, ConfigError) else 1
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        extra = extra_of(package)
        if extra is None:
            raise
        missing = MissingExtraError(
            f"liteft {arguments[0]} needs {package}, which is not installed.",
            fix=install_hint(extra),
        )
        tell(f"{type(missing).__name__}: {missing}")
        return 1


def _interrupted_text(error: KeyboardInterrupt, arguments: list[str]) -> str:
    how = f"ended by {error}" if isinstance(error, Ended) else "interrupted"
    resumed = arguments[:1] and arguments[0] in _RESUMED
    resumed = resumed or any(argument.split("=")[0] == "--input" for argument in arguments)
    goes_on, anew = "the same command resumes where it stopped", "nothing half done stays; the same command starts over"
    then = goes_on if resumed else anew
    return str(LiteftError(f"{how}; {then}.", fix=_command(arguments)))


def _mistake_text(error: Exception, arguments: list[str]) -> str:
    """Return the message for an unexpected error, and write its traceback to a file."""
    words = f"{type(error).__name__}: {first_line(error)}" if shows_all() else type(error).__name__
    if isinstance(error, MemoryError):
        return str(LiteftError(f"the memory does not suffice: {words}", fix="a smaller batch size, or shorter texts"))
    lines = traceback_of(error)
    with contextlib.suppress(OSError):
        number, path = tempfile.mkstemp(prefix="liteft-traceback-", suffix=".txt")
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines([f"{_command(arguments)}\n\n", *lines])
        return str(
            LiteftError(
                f"probably a bug in LiteFT: {words}",
                accepted={"traceback": path},
                fix=[f"please report it, with that file; {_TRACEBACK}=1 shows it here"],
            )
        )
    return "".join(lines)


def _command(arguments: list[str]) -> str:
    """Return the command, without what may be a text if texts are hidden."""
    hidden = not shows_all() and arguments[:1] == ["predict"]
    return shlex.join(["liteft", *(arguments[:2] if hidden else arguments)]) + (" ..." if hidden else "")


def _drop_stdout() -> None:
    """Send stdout to the null device, so that flushing it at exit does not fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
