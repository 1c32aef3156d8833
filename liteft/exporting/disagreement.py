"""The error of an export that exceeds its limits: the numbers, and the texts on which the two models differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liteft.data import Split
from liteft.errors import REPORT, VerificationError, option
from liteft.exporting.probes import ProbeResult
from liteft.form import Precision
from liteft.privacy import shown, shows_all
from liteft.ragged import Rows, row_differences
from liteft.tasks import Task

__all__ = ["Comparison", "Disagreement", "disagreement"]

_WORST = 5
_SHOWN = 70


class Disagreement(VerificationError):
    """The exported graph runs, but differs from its model by more than the limits allow."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answers of the torch model and of the exported one to the same texts.

    Attributes:
        backend: that ran the exported graph.
        split: the texts.
        task: how logits become labels.
        model, exported: logits, float32 (texts, labels), or a Ragged of words.
        probes: the results on random tokens.
    """

    backend: str
    split: Split
    task: Task
    model: Rows
    exported: Rows
    probes: ProbeResult

    @property
    def differences(self) -> np.ndarray:
        """Largest logit difference of each text, float32, shape (texts,)."""
        return row_differences(self.model, self.exported)


def disagreement(
    comparison: Comparison, labels: tuple[str, ...], model: object, precision: Precision, beyond: dict[str, str]
) -> Disagreement:
    """Return the error that says which limits are exceeded, and shows the five texts that differ most.

    Args:
        comparison: the answers.
        labels: names of the labels, in the order of the logits.
        model: the torch model's folder, for the message.
        precision: of the exported graph.
        beyond: what exceeds its limit -> its value and the limit, in words.
    """
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
    """Return a line for each of the texts that differ most, those whose label changed first."""
    model, exported = (comparison.task.decide(each) for each in (comparison.model, comparison.exported))
    changed = ~comparison.task.same(model, exported)
    differences = comparison.differences
    lines: dict[str, str] = {}
    for row in np.lexsort((-differences, ~changed)):
        pairs = comparison.split.pairs
        whole = comparison.split.texts[row] + ("" if pairs is None else f" | {pairs[row]}")
        text = shown(whole)
        text = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        place = "" if shows_all() else f"{comparison.split.where(int(row))}: "
        names = " -> ".join(comparison.task.shown(each[row], labels) for each in (model, exported))
        lines.setdefault(whole, f"{names}, logits {differences[row]:.3g} apart: {place}{text!r}")
        if len(lines) == _WORST:
            break
    return {f"worst text {rank}": line for rank, line in enumerate(lines.values(), start=1)}
