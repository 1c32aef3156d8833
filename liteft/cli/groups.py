"""Flags that commands take together: a group is a dataclass, and a command takes it as one parameter.

``flat`` shows typer the single flags. A flag left out is None and leaves the recipe's value alone; what has no flag is
reached by --set. The fields are named as the recipe's keys, so that a group is laid over a table as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from liteft.cli.console import Console
from liteft.cli.flags.data import (
    Delimiter,
    DropEmpty,
    DropLong,
    Encoding,
    Label,
    LabelNames,
    LabelSeparator,
    MaxChars,
    Pair,
    TestFraction,
    Text,
    Unlabeled,
    ValidationFraction,
)
from liteft.cli.flags.export import (
    Calibration,
    EmbeddingBits,
    Flat,
    MaxDrop,
    MaxMb,
    MaxMs,
    Mixed,
    Precision,
    Scheme,
    Target,
    Tolerance,
    WeightBits,
)
from liteft.cli.flags.machine import AsJson, Assigned, Quiet, RecipeFile, Threads
from liteft.cli.flags.models import (
    BaseQuantization,
    BatchSize,
    Epochs,
    Layers,
    LearningRate,
    LoraRank,
    MaxTokens,
    Optimizer,
    Pooling,
    Seed,
    Size,
    TrainingPrecision,
)

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

    text: Text = None
    pair: Pair = None
    label: Label = None
    label_names: LabelNames = None
    label_separator: LabelSeparator = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    max_chars: MaxChars = None
    drop_long: DropLong = None
    drop_empty: DropEmpty = None
    validation_fraction: ValidationFraction = None
    test_fraction: TestFraction = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a teacher reads of a text; its students read the same."""

    max_tokens: MaxTokens = None
    pooling: Pooling = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How a teacher is trained whose base is too large to train whole."""

    base_quantization: BaseQuantization = None
    lora_rank: LoraRank = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and how fast a model is trained."""

    epochs: Epochs = None
    learning_rate: LearningRate = None
    batch_size: BatchSize = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a training computes, and its seed; teacher and student share it."""

    training_precision: TrainingPrecision = None
    optimizer: Optimizer = None
    seed: Seed = None
    threads: Threads = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a student starts from, and what it sees beside the training texts."""

    size: Size = None
    layers: Layers = None
    unlabeled: Unlabeled = None

    def table(self) -> dict[str, Any]:
        """Return the keys of the student's table."""
        return {"size": self.size, "layers": parse_layers(self.layers), "unlabeled": self.unlabeled}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What an artifact is to be, and how much its export may lose."""

    precision: Precision = None
    scheme: Scheme = None
    calibration: Calibration = None
    weight_bits: WeightBits = None
    embedding_bits: EmbeddingBits = None
    mixed: Mixed = None
    flat: Flat = None
    target: Target = None
    tolerance: Tolerance = None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a search must keep within."""

    max_mb: MaxMb = None
    max_ms: MaxMs = None
    max_drop: MaxDrop = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where all other settings come from."""

    recipe: RecipeFile = None
    assigned: Assigned = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is printed."""

    as_json: AsJson = False
    quiet: Quiet = False

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
