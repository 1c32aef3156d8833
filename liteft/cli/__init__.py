"""The command line: ``liteft check``, ``finetune``, ``distill`` and so on, one file per command.

A command calls one function of the library and prints its result; nothing is computed here. `flags` holds every flag
and `groups` the flags that commands take together. `settings` turns flags into a recipe. `console` prints results to
stdout and progress to stderr. `help` arranges what --help shows, `usage` explains mistakes in a command line, and
`failures` turns every error into a message and an exit status.

Only typer is imported at start. A command imports what it needs when it runs, so that ``predict`` needs no torch.

Exit status: 0 done, 1 failed, 2 a mistake in the command or the recipe, 3 done but for some units (score), 130
interrupted, 141 stdout was closed, 143 ended by SIGTERM.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from liteft.cli import (
    advise,
    check,
    compare,
    demo,
    distill,
    doctor,
    export,
    finetune,
    inspect,
    predict,
    pretrain,
    push,
    score,
    search,
    serve,
)
from liteft.cli.failures import run_command
from liteft.cli.help import Command, Group

__all__ = ["app", "main"]

app = typer.Typer(
    name="liteft",
    cls=Group,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _add(verb: Callable[..., None], examples: Sequence[str]) -> None:
    """Add a command, with its docstring (each paragraph on one line) as its help, and the examples below the flags."""
    paragraphs = [" ".join(each.split()) for each in (verb.__doc__ or "").split("\n\n")]
    app.command(cls=Command, help="\n\n".join(paragraphs), epilog="\n\n".join(["Examples:", *examples]))(verb)


_add(check.check, check.EXAMPLES)
_add(finetune.finetune, finetune.EXAMPLES)
_add(distill.distill, distill.EXAMPLES)
_add(search.search, search.EXAMPLES)
_add(advise.advise, advise.EXAMPLES)
_add(export.export, export.EXAMPLES)
_add(predict.predict, predict.EXAMPLES)
_add(score.score, score.EXAMPLES)
_add(serve.serve, serve.EXAMPLES)
_add(compare.compare, compare.EXAMPLES)
_add(inspect.inspect, inspect.EXAMPLES)
_add(push.push, push.EXAMPLES)
_add(pretrain.pretrain, pretrain.EXAMPLES)
_add(doctor.doctor, doctor.EXAMPLES)
_add(demo.demo, demo.EXAMPLES)


def _print_version(asked: bool) -> None:
    if asked:
        import liteft

        typer.echo(f"liteft {liteft.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def liteft(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            metavar="",
            help="Print the version and exit.",
            rich_help_panel="General",
        ),
    ] = False,
) -> None:
    """From labelled texts to a small, fast, verified ONNX classifier.

    End to end: liteft distill --data DATA --teacher minilm --size 3x384 --out FOLDER

        The other commands do one step each. Results go to stdout, progress to stderr.

        Repeating a training command resumes where it stopped. More: liteft COMMAND --help
    """
    if context.invoked_subcommand is None:
        with contextlib.redirect_stdout(sys.stderr):  # if rich is installed, get_help prints the help itself
            typer.echo(context.get_help())
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors are printed to stderr.

    Args:
        arguments: what follows ``liteft``; None takes the process's own.
    """
    # peft imports bitsandbytes, which warns about kernels that are not installed.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    return run_command(app, list(sys.argv[1:] if arguments is None else arguments))
