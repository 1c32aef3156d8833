"""Flags that several verbs share: one name and one meaning everywhere.

A group of flags is a dataclass, and a verb takes it as one parameter: ``flat`` shows typer the single flags. A flag
left out is None and leaves the recipe's value alone; what has no flag is reached by --set. The fields of Reading
and Training are named as the recipe's keys, so that a group is laid over a table as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from liteft.cli.console import Console

__all__ = [
    "Data",
    "Labels",
    "Out",
    "Output",
    "OverwriteWhole",
    "Reading",
    "Settings",
    "Task",
    "Training",
    "Trust",
    "flat",
    "trusting",
]

Out = Annotated[str, typer.Option("--out", metavar="FOLDER", help="Where the result goes.")]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DATA", help="A file, a folder of train, dev and test files, or a hub name."),
]
Task = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help="single_label or multi_label; seen in the labels.")
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="FILE", help="Of a model from elsewhere: a label a line, in the order of its logits."
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads; by the environment or the cores if left out.")
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Encoding of text files; UTF-8 if left out.")
]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", metavar="CHAR", help="Delimiter of csv; seen in its first line.")
]
OverwriteWhole = Annotated[
    bool, typer.Option("--overwrite", help="Replace an artifact of another form or of another student.")
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Take graphs and tokenizers that LiteFT does not know; they may do any harm.")
]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How labelled text is read."""

    text: Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="Column of the text.")] = None
    pair: Annotated[
        str | None, typer.Option("--pair", metavar="COLUMN", help="Column of the second text; '' for none.")
    ] = None
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="COLUMN", help="Column of the label or of lists; A,B: columns of 0 and 1."),
    ] = None
    label_names: Annotated[
        str | None, typer.Option("--label-names", metavar="A,B", help="What integers and 0/1 vectors stand for.")
    ] = None
    label_separator: Annotated[
        str | None, typer.Option("--label-separator", metavar="CHAR", help="Splits a cell into several labels.")
    ] = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    max_chars: Annotated[
        int | None,
        typer.Option("--max-chars", metavar="N", help="Longest text to train on; a longer one is an error."),
    ] = None
    drop_long: Annotated[bool | None, typer.Option("--drop-long", help="Leave longer texts out instead.")] = None
    drop_empty: Annotated[
        bool | None, typer.Option("--drop-empty", help="Leave rows out that have no text or no label.")
    ] = None
    validation_fraction: Annotated[
        float | None,
        typer.Option("--validation-fraction", metavar="X", help="Share of train for it, where it is missing; 0.1."),
    ] = None
    test_fraction: Annotated[
        float | None,
        typer.Option("--test-fraction", metavar="X", help="Share of train for it, where it is missing; 0.1."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how fast a model is trained."""

    epochs: Annotated[float | None, typer.Option("--epochs", metavar="N", help="Passes over the texts.")] = None
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", metavar="RATE", help="Highest learning rate, as 5e-5.")
    ] = None
    batch_size: Annotated[int | None, typer.Option("--batch-size", metavar="N", help="Texts of one step.")] = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a teacher reads of a text; its students read the same."""

    max_tokens: Annotated[int | None, typer.Option("--max-tokens", metavar="N", help="Longer texts are cut here.")] = (
        None
    )
    pooling: Annotated[
        str | None, typer.Option("--pooling", metavar="KIND", help="auto, cls or mean: what the head reads.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How a teacher is trained whose base is too large to train whole."""

    quantization: Annotated[
        str | None,
        typer.Option("--quantization", metavar="BITS", help="8bit or 4bit: store the base so, and train an adapter."),
    ] = None
    lora_rank: Annotated[
        int | None,
        typer.Option("--lora-rank", metavar="N", help="Train an adapter of this rank, not all; 16 if quantized."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a training uses the machine, and its seed."""

    precision: Annotated[
        str | None, typer.Option("--precision", metavar="KIND", help="Of the training: auto, fp32 or bf16.")
    ] = None
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", metavar="NAME", help="adamw, adamw8bit, sgd or adafactor.")
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of the training.")] = None
    threads: Threads = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where all other settings come from."""

    recipe: Annotated[
        str | None, typer.Option("--recipe", metavar="FILE", help="TOML file of settings; flags override it.")
    ] = None
    assigned: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="Any other setting of a recipe, as data.seed=1 or teacher.warmup=0.1. May be repeated.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is printed."""

    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False

    def console(self) -> Console:
        """Return where the verb writes."""
        return Console(as_json=self.as_json, quiet=self.quiet)


def trusting(trust: bool) -> list[str]:
    """Return the flag for the next command of what was trusted in this one."""
    return ["--trust"] if trust else []


def flat(verb: Callable[..., None]) -> Callable[..., None]:
    """Return ``verb`` with the fields of its dataclass parameters as parameters of their own, for typer to see."""
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        if not is_dataclass(parameter.annotation):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        group = groups[parameter.name] = parameter.annotation
        hints = get_type_hints(group, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
            )
            for field in fields(group)
        ]

    def called(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        verb(**values)

    called.__name__, called.__doc__, called.__module__ = verb.__name__, verb.__doc__, verb.__module__
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called
