"""How far an exported model may be from the model it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from liteft.errors import ConfigError, leave_out
from liteft.form import Precision
from liteft.ragged import Rows
from liteft.tasks import Task

__all__ = ["Limits", "logit_scale"]

_LOGITS: dict[Precision, float | None] = {"fp32": 1e-4, "fp16": 2e-2, "int8": None}
_BATCH: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-4, "int8": 1e-2}
_USUAL = 10.0  # the largest logits of classifiers, for which these limits are made


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an export may be from its model before verification fails.

    Agreement and accuracy fail only if they exceed their limit and a one-sided test finds that chance does not explain
    it (p < 0.05): a few near ties in a small split prove nothing. With the default limits an export fails from 2
    changed labels among 8 texts, 8 among 180, or 29 among 1,000; and, among 180 texts, from 5 that are newly wrong if
    none is newly right.

    Attributes:
        logit_difference: largest allowed difference of any logit. None takes the limit of the precision: 1e-4 for fp32,
            2e-2 for fp16, and none for int8, which is judged by its labels. Of scores above 10 they are as much larger.
        batch_difference: largest allowed difference of a logit between a text alone and the same text in a batch. None
            takes 1e-4, or 1e-2 for int8, where the last bit of a float can move a value to the next of its 255 steps.
        agreement: smallest share of texts that get the same label (multi-label: the same set of labels; scores: one at
            most a fifth of the model's standard deviation away; questions: an answer that overlaps by half). None takes
            the task's own limit: 0.98, or 0.95 for answers, of which models are less sure. Judged by the exact binomial
            test.
        accuracy_drop: largest loss of accuracy (multi-label: of exact matches) as a share; 0.005 is half a point.
            Judged by McNemar's test. For tags and scores also the largest loss of the main metric, judged by a paired
            bootstrap.
        texts: compare at most this many texts, evenly spaced over the split.

    Raises:
        ConfigError: a value out of range.
    """

    logit_difference: float | None = None
    batch_difference: float | None = None
    agreement: float | None = None
    accuracy_drop: float = 0.005
    texts: int = 5000

    def __post_init__(self) -> None:
        for name, most in (("agreement", 1.0), ("accuracy_drop", 1.0), ("texts", float("inf"))):
            least = 1 if name == "texts" else 0
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ConfigError(
                    f"the limit {name}={value} is out of range.",
                    accepted={name: f"{least} to {most:g}"},
                    fix=leave_out(name),
                )

    def resolved(self, precision: Precision, *, scale: float = 1.0) -> Limits:
        """Return the limits with those of differences that are None replaced by the precision's own, times ``scale``.

        That of agreement, if it is None, is the task's.
        """
        logits, batch = _LOGITS[precision], scale * _BATCH[precision]
        if logits is not None:
            logits *= scale
        return replace(
            self,
            logit_difference=logits if self.logit_difference is None else self.logit_difference,
            batch_difference=batch if self.batch_difference is None else self.batch_difference,
        )


def logit_scale(task: Task, logits: Rows) -> float:
    """Return how much larger than those of classifiers logits are, 1 or more: those of scores are in any unit."""
    return max(1.0, float(np.abs(logits).max(initial=0.0)) / _USUAL) if task.numeric else 1.0
