"""Groups of flags that several commands have: a group is a dataclass, and a command takes it as one parameter.

The decorator `flat` makes each field a flag of its own for typer. A flag that is left out is None, which keeps the
recipe's value. Fields have the names of the recipe's keys, so a group can be laid over a table as it is. Keys without a
flag are set by --set.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints

from liteft.cli.console import Console
from liteft.cli.flags.data import (
    Confidence,
    Delimiter,
    DropEmpty,
    DropLong,
    Encoding,
    Label,
    LabelNames,
    LabelSeparator,
    LabelsPerClass,
    MaxChars,
    Pair,
    SubsetSeed,
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
from liteft.cli.flags.machine import AsJson, Assigned, NoTexts, Private, Quiet, RecipeFile, Threads
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
    ReportTo,
    Seed,
    Size,
    TrainingPrecision,
)
from liteft.errors import ConfigError, closest
from liteft.privacy import NO_TEXTS, PRIVATE, shows_all, switched_on

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
    "error_kind",
    "flat",
    "parse_layers",
    "predicting",
    "trusting",
]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How labelled texts are read."""

    text: Text = None
    pair: Pair = None
    label: Label = None
    confidence: Confidence = None
    label_names: LabelNames = None
    label_separator: LabelSeparator = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    max_chars: MaxChars = None
    drop_long: DropLong = None
    drop_empty: DropEmpty = None
    validation_fraction: ValidationFraction = None
    test_fraction: TestFraction = None
    labels_per_class: LabelsPerClass = None
    subset_seed: SubsetSeed = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """How much of a text the teacher reads, and how it pools the tokens; its students do the same."""

    max_tokens: MaxTokens = None
    pooling: Pooling = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How to train an adapter on a base that is too large to train as a whole."""

    base_quantization: BaseQuantization = None
    lora_rank: LoraRank = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """Epochs, learning rate and batch size of a training."""

    epochs: Epochs = None
    learning_rate: LearningRate = None
    batch_size: BatchSize = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Precision, optimizer, seed, threads and loggers of a training; the same for teacher and student."""

    training_precision: TrainingPrecision = None
    optimizer: Optimizer = None
    seed: Seed = None
    threads: Threads = None
    report_to: ReportTo = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """The student's size, the layers that it starts from, and further texts to train on."""

    size: Size = None
    layers: Layers = None
    unlabeled: Unlabeled = None

    def table(self) -> dict[str, Any]:
        """Return these flags as keys of the recipe's student table."""
        return {"size": self.size, "layers": parse_layers(self.layers), "unlabeled": self.unlabeled}


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form of an artifact, and how much accuracy its export may lose."""

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
    """The limits of a search."""

    max_mb: MaxMb = None
    max_ms: MaxMs = None
    max_drop: MaxDrop = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The recipe file, and settings without a flag."""

    recipe: RecipeFile = None
    assigned: Assigned = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """How the command prints, and what of its texts it shows to whom."""

    as_json: AsJson = False
    quiet: Quiet = False
    no_texts: NoTexts = False
    private: Private = False

    def begin(self) -> None:
        """Hide texts and write privately as the flags say, before the command reads or writes anything."""
        if self.no_texts:
            os.environ[NO_TEXTS] = "1"
        shows_all()  # an unknown value of a variable, or a function that cannot be imported, is refused at once
        if self.private or switched_on(PRIVATE):
            from liteft.files import write_privately

            write_privately()

    def console(self) -> Console:
        """Return the console that prints accordingly."""
        return Console(as_json=self.as_json, quiet=self.quiet)


def parse_layers(text: str | None) -> str | list[int] | None:
    """Return the value of --layers: "0,2,5" as a list of numbers, a word unchanged."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.strip("[]").split(",")]
    except ValueError:
        return text


def error_kind(name: str) -> Literal["raise", "null"]:
    """Return the value of --on-error. Raises ConfigError if it is another one."""
    if name not in ("raise", "null"):
        raise ConfigError(
            f"--on-error must be raise or null, got {name!r}.",
            accepted={"raise": "stop at such a row", "null": "give it a null label, and go on"},
            fix=f"--on-error {closest(name, ('raise', 'null')) or 'null'}",
        )
    return cast(Literal["raise", "null"], name)


def predicting(folder: Path, *, trust: bool = False) -> list[str]:
    """Return a command that tries an artifact on a text, or on what a model of pairs, questions or roles reads."""
    from liteft.artifact import read_artifact

    manifest = read_artifact(folder).manifest
    extractive = manifest.task.extractive
    text, second = ("a question", "the context that answers it") if extractive else ("a text", "the other text")
    pair = ["--pair-text", second] if manifest.paired else []
    word = ["--predicate", "1"] if manifest.marked else []
    return ["liteft", "predict", str(folder), text, *pair, *word, *trusting(trust)]


def trusting(trust: bool) -> list[str]:
    """Return --trust for the next command if this one was given it."""
    return ["--trust"] if trust else []


def flat(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a command's function with each field of its dataclass parameters as a parameter of its own, for typer."""
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
        for value in values.values():
            if isinstance(value, Output):
                value.begin()
        verb(**values)

    called.__name__, called.__doc__, called.__module__ = verb.__name__, verb.__doc__, verb.__module__
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called
