"""An export that is beyond its limits, in words: the numbers, and the texts that are furthest apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liteft.data import Split
from liteft.errors import REPORT, VerificationError, option
from liteft.exporting.probes import ProbeResult
from liteft.form import Precision
from liteft.tasks import Task

__all__ = ["Comparison", "Disagreement", "disagreement"]

_WORST = 5
_SHOWN = 70


class Disagreement(VerificationError):
    """An export that runs, and is further from its model than the limits allow."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on the same texts: logits, float32 (texts, labels), and what the probes saw."""

    backend: str
    split: Split
    task: Task
    model: np.ndarray
    exported: np.ndarray
    probes: ProbeResult

    @property
    def differences(self) -> np.ndarray:
        """Largest logit difference of each text, float32 (texts,)."""
        return np.asarray(np.abs(self.model - self.exported).max(axis=1))


def disagreement(
    comparison: Comparison, labels: tuple[str, ...], model: object, precision: Precision, beyond: dict[str, str]
) -> Disagreement:
    """Return the error that says what is beyond its limit, and on which texts."""
    finer = {
        "int8": option("precision", "fp16", note=", or fp32"),
        "fp16": option("precision", "fp32"),
    }
    return Disagreement(
        f"the {precision} graph does not agree with {model} on {comparison.split.name}; nothing was exported.",
        accepted={"run by": comparison.backend} | beyond | _worst_texts(comparison, labels),
        fix=finer.get(precision, REPORT),
    )


def _worst_texts(comparison: Comparison, labels: tuple[str, ...]) -> dict[str, str]:
    """Return the texts that are furthest apart, those with another label first, in words."""
    model, exported = (comparison.task.decide(each) for each in (comparison.model, comparison.exported))
    changed = ~comparison.task.same(model, exported)
    differences = comparison.differences
    shown: dict[str, str] = {}
    for row in np.lexsort((-differences, ~changed)):
        pairs = comparison.split.pairs
        text = comparison.split.texts[row] + ("" if pairs is None else f" | {pairs[row]}")
        text = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        names = " -> ".join(
            " + ".join(comparison.task.names_of(each[row], labels)) or "no label" for each in (model, exported)
        )
        shown.setdefault(text, f"{names}, logits {differences[row]:.3g} apart: {text!r}")
        if len(shown) == _WORST:
            break
    return {f"worst text {rank}": line for rank, line in enumerate(shown.values(), start=1)}
