"""Flags that commands take together: a group is a dataclass, and a command takes it as one parameter.

``flat`` shows typer the single flags. A flag left out is None and leaves the recipe's value alone; what has no flag is
reached by --set. The fields are named as the recipe's keys, so that a group is laid over a table as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from liteft.cli import options as o
from liteft.cli.console import Console

__all__ = [
    "Adapter",
    "Budget",
    "Form",
    "Head",
    "Machine",
    "Output",
    "Reading",
    "Settings",
    "Start",
    "Training",
    "flat",
    "parse_layers",
    "trusting",
]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How labelled text is read."""

    text: o.Text = None
    pair: o.Pair = None
    label: o.Label = None
    label_names: o.LabelNames = None
    label_separator: o.LabelSeparator = None
    encoding: o.Encoding = None
    delimiter: o.Delimiter = None
    max_chars: o.MaxChars = None
    drop_long: o.DropLong = None
    drop_empty: o.DropEmpty = None
    validation_fraction: o.ValidationFraction = None
    test_fraction: o.TestFraction = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a teacher reads of a text; its students read the same."""

    max_tokens: o.MaxTokens = None
    pooling: o.Pooling = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How a teacher is trained whose base is too large to train whole."""

    base_quantization: o.BaseQuantization = None
    lora_rank: o.LoraRank = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how fast a model is trained."""

    epochs: o.Epochs = None
    learning_rate: o.LearningRate = None
    batch_size: o.BatchSize = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a training computes, and its seed; teacher and student share it."""

    training_precision: o.TrainingPrecision = None
    optimizer: o.Optimizer = None
    seed: o.Seed = None
    threads: o.Threads = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a student starts from, and what it sees beside the training texts."""

    size: o.Size = None
    layers: o.Layers = None
    unlabeled: o.Unlabeled = None

    def table(self) -> dict[str, Any]:
        """Return the keys of the student's table."""
        return {"size": self.size, "layers": parse_layers(self.layers), "unlabeled": self.unlabeled}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What an artifact is to be, and how much its export may lose."""

    precision: o.Precision = None
    scheme: o.Scheme = None
    calibration: o.Calibration = None
    weight_bits: o.WeightBits = None
    embedding_bits: o.EmbeddingBits = None
    mixed: o.Mixed = None
    flat: o.Flat = None
    target: o.Target = None
    tolerance: o.Tolerance = None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a search must keep within."""

    max_mb: o.MaxMb = None
    max_ms: o.MaxMs = None
    max_drop: o.MaxDrop = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where all other settings come from."""

    recipe: o.RecipeFile = None
    assigned: o.Assigned = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is printed."""

    as_json: o.AsJson = False
    quiet: o.Quiet = False

    def console(self) -> Console:
        """Return where the command writes."""
        return Console(as_json=self.as_json, quiet=self.quiet)


def parse_layers(text: str | None) -> str | list[int] | None:
    """Return --layers: numbers with commas as a list, a word as it is."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.strip("[]").split(",")]
    except ValueError:
        return text


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
