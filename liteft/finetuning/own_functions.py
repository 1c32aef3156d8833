"""Metrics and a loss that a user gives as Python functions, in place of or beside LiteFT's.

A run records each one's name and a hash of what it computes (function_hash.py), and is not resumed with another.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from liteft.data import Dataset
from liteft.errors import ConfigError, leave_out, option
from liteft.finetuning.function_hash import function_name, source_hash
from liteft.ragged import Ragged, Rows
from liteft.recipes import StudentRecipe, TrainingRecipe
from liteft.tasks import TASKS, Task

__all__ = [
    "NO_FUNCTIONS",
    "LossFunction",
    "MetricFunction",
    "OwnFunctions",
    "checked_functions",
    "require_functions",
]

MetricFunction = Callable[[Any, Any], float]
LossFunction = Callable[[Tensor, Tensor], Tensor]

_GIVEN = {
    "predictions": ("predictions", "y_pred", "predicted", "preds"),
    "probabilities": ("probabilities", "y_score", "y_prob", "y_proba"),
    "logits": ("logits",),
}  # what a metric gets -> the names of its second parameter that ask for it
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = {"loss", "metric", "balanced", "runtime", "n", "majority", "by_label", "samples_per_second"} | {
    name for task in TASKS.values() for name in (*task.metrics, task.primary_metric)
}


@dataclass(frozen=True)
class OwnFunctions:
    """A user's metrics and loss.

    Attributes:
        metrics: name -> function of labels and predictions, probabilities or logits.
        loss: of logits and labels; None for LiteFT's.
    """

    metrics: Mapping[str, MetricFunction] = field(default_factory=dict)
    loss: LossFunction | None = None

    @property
    def record(self) -> dict[str, str]:
        """What binds a run to them: "loss" and "metrics.NAME" -> module, name and hash; {} if there are none."""
        named: dict[str, Callable[..., Any]] = {} if self.loss is None else {"loss": self.loss}
        named |= {f"metrics.{name}": function for name, function in self.metrics.items()}
        return {name: f"{function_name(each)}, source {source_hash(each)[:16]}" for name, each in named.items()}

    def scores(self, task: Task, logits: Rows, labels: Rows, *, choosing: str | None = None) -> dict[str, float]:
        """Return the user's metrics of a split.

        Args:
            task: of the data.
            logits, labels: as ``Task.score`` takes them.
            choosing: the metric by which weights are chosen, if it is one of them.

        Raises:
            ConfigError: a metric is not a number, or the one that chooses is not finite.
        """
        found: dict[str, float] = {}
        for name, function in self.metrics.items():
            kind = _given(name, function)
            value = function(_plain(labels), _plain(_DERIVED[kind](task, logits)))
            if not isinstance(value, Real):  # numpy's scalars are
                raise ConfigError(
                    f"the metric {name} returned a {type(value).__name__}, {str(value)[:80]!r}.",
                    accepted={name: "a number, the higher the better"},
                    fix="return float(...)",
                )
            if name == choosing and not math.isfinite(value):
                raise ConfigError(
                    f"the metric {name}, by which weights are chosen, is {float(value)} on validation.",
                    accepted={name: "a finite number at every evaluation, the higher the better"},
                    fix="return the lowest value there is where the metric is not defined",
                )
            found[name] = float(value)
        return found

    def loss_of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the user's loss of a batch, shape ().

        Raises:
            ConfigError: it is not a tensor of one number that depends on the logits.
        """
        assert self.loss is not None
        value = self.loss(logits.float(), labels)
        if not isinstance(value, Tensor) or value.dim() != 0 or not value.requires_grad:
            seen = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            seen += " without a gradient" if isinstance(value, Tensor) and not value.requires_grad else ""
            raise ConfigError(
                f"the loss returned {seen}.",
                accepted={"loss": "a tensor of shape () that is computed from the logits"},
                fix="return the mean over the texts of the batch, computed by torch",
            )
        return value


NO_FUNCTIONS = OwnFunctions()
"""LiteFT's own metrics and loss alone."""

_DERIVED: dict[str, Callable[[Task, Rows], Rows]] = {
    "predictions": lambda task, logits: task.decide(logits),
    "probabilities": lambda task, logits: task.probabilities(logits),
    "logits": lambda _task, logits: logits,
}


def checked_functions(
    metrics: Mapping[str, MetricFunction] | None = None, loss: LossFunction | None = None
) -> OwnFunctions:
    """Return metrics and a loss of a call, once they are known to be usable.

    Raises:
        ConfigError: something that is not a function, or a metric whose name is taken or whose parameters do not say
            what it wants.
    """
    if metrics is not None and not isinstance(metrics, Mapping):
        raise ConfigError(
            f"metrics is a {type(metrics).__name__}.",
            accepted={"metrics": "name -> function(labels, predictions)"},
            fix='metrics={"name": function}',
        )
    for name, function in (metrics or {}).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN:
            taken = "LiteFT has a metric of that name" if name in _TAKEN else "it is not a name in small letters"
            raise ConfigError(f"{name!r} cannot be the name of a metric: {taken}.", fix=f"own_{name} or another name")
        _require_function(f"metrics[{name!r}]", function)
        _given(name, function)
    if loss is not None:
        _require_function("loss", loss)
    return OwnFunctions(dict(metrics or {}), loss)


def require_functions(own: OwnFunctions, recipe: TrainingRecipe, dataset: Dataset, *, taught: bool = False) -> None:
    """Refuse functions that a training would not use, or whose values are not defined for the task.

    Args:
        own: of the call.
        recipe: of a teacher or student.
        dataset: the data.
        taught: of a student, which learns labels by ``hard_weight`` only.

    Raises:
        ConfigError: they cannot be used.
    """
    if dataset.task.extractive and (own.metrics or own.loss is not None):
        raise ConfigError(
            f"own metrics and losses are of labels, and those of {dataset.name} are answers in their contexts.",
            accepted={"tasks": ", ".join(name for name, task in TASKS.items() if not task.extractive)},
            fix=[leave_out("metrics"), leave_out("loss")],
        )
    if own.loss is None:
        return
    for name, plain in {"label_smoothing": 0.0, "class_weights": "none"}.items():
        if getattr(recipe, name) != plain:
            raise ConfigError(
                f"{name}={getattr(recipe, name)} belongs to LiteFT's loss, and a loss of your own is given.",
                fix=[leave_out(name), leave_out("loss")],
            )
    if not (taught and isinstance(recipe, StudentRecipe)):
        return
    if recipe.transfer == "pool":
        raise ConfigError(
            "transfer=pool learns no labels, so that the student would not use the loss of your own.",
            fix=[leave_out("loss"), option("student.transfer", "all")],
        )
    if recipe.hard_weight == 0:
        raise ConfigError(
            "hard_weight is 0, so that the student would not use the loss of your own.",
            accepted={"hard_weight": "above 0: the weight of the labels' loss"},
            fix=[option("student.hard_weight", 0.1), leave_out("loss")],
        )


def _require_function(name: str, value: Any) -> None:
    if not callable(value) or isinstance(value, type):
        raise ConfigError(
            f"{name} is {'the class ' + value.__name__ if isinstance(value, type) else repr(value)[:60]}.",
            accepted={name: "a function, or an object that can be called"},
            fix=f"{value.__name__}(...), an instance" if isinstance(value, type) else leave_out(name.split("[")[0]),
        )


def _given(name: str, function: MetricFunction) -> str:
    """Return what a metric gets beside the labels, by the name of its second parameter."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    places = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    kind = next((kind for kind, names in _GIVEN.items() if len(places) > 1 and places[1] in names), None)
    if kind is None:
        raise ConfigError(
            f"the metric {name} has the parameters ({', '.join(places)}), which do not say what it gets.",
            accepted={kind: f"second parameter named {' or '.join(names)}" for kind, names in _GIVEN.items()},
            fix="def metric(labels, predictions): ...",
        )
    return kind


def _plain(rows: Rows) -> Any:
    """Return values of texts as an array; those of words as a list with an array for each text."""
    return [np.array(row) for row in rows] if isinstance(rows, Ragged) else np.array(rows)
