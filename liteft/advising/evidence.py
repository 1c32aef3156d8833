"""What was measured of a data set, from which the advice follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from liteft.advising.curve import Curve
from liteft.advising.judges import Judge, Scored
from liteft.advising.probe import BaseProbe
from liteft.advising.sample import Sample
from liteft.advising.sizes import ShapeCost
from liteft.data import DataCheck
from liteft.data.findings import short_place
from liteft.privacy import shown
from liteft.tasks import fit_temperature

__all__ = ["DoubtfulText", "Evidence", "Floor", "TextLengths", "doubtful_texts"]

_SHOWN = 10
_SURE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Floor:
    """A classifier of words: its name, its cross-validated answers, and what fits it."""

    name: str
    scored: Scored
    judge: Judge


@dataclass(frozen=True, slots=True)
class TextLengths:
    """Lengths in tokens of the first base's tokenizer, special tokens included.

    Attributes:
        median, p99: of the sampled training texts, before truncation.
        covering: the ``max_tokens`` that covers 99% of them, or the most that the base can read.
        cut: share of the texts that are cut there.
        probed: tokens to which the probe cut the texts.
    """

    median: float
    p99: float
    covering: int
    cut: float
    probed: int


@dataclass(frozen=True, slots=True)
class DoubtfulText:
    """A training text for which floor and probe, fitted without it, both give the same other label.

    Attributes:
        where: file and row.
        text: its beginning.
        label: the label in the data.
        found: what both found instead.
        score: the probe's calibrated probability of it.
    """

    where: str
    text: str
    label: str
    found: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Everything that was measured.

    Attributes:
        check: the data check; the labels of the test split take no part in it.
        sample: the training texts that were looked at.
        lengths: their lengths; None without a base.
        floors: the best first.
        bases: probes of the bases, the best first.
        advantage: the best probe's primary metric minus the best floor's, and its 95% interval, in shares; None
            without either of them.
        curves: learning curves of the best floor and the best probe.
        costs: base -> costs of its students.
        doubtful: the texts whose labels are most doubtful, the surest first.
        doubtful_count: number of texts for which the probe's probability of another label is at least 0.9, and the
            floor agrees.
        max_mb, max_ms: limits, or None.
    """

    check: DataCheck
    sample: Sample
    lengths: TextLengths | None
    floors: tuple[Floor, ...]
    bases: tuple[BaseProbe, ...]
    advantage: tuple[float, tuple[float, float]] | None
    curves: tuple[Curve, ...]
    costs: Mapping[str, tuple[ShapeCost, ...]]
    doubtful: tuple[DoubtfulText, ...]
    doubtful_count: int
    max_mb: float | None
    max_ms: float | None

    @property
    def metric(self) -> str:
        """The primary metric of the task."""
        return self.sample.task.primary_metric

    @property
    def label_counts(self) -> np.ndarray:
        """Training texts with each label, int64 (labels,)."""
        train = next(split for split in self.check.splits if split.name == "train")
        return np.array(list((train.labels or {}).values()), dtype=np.int64)

    @property
    def majority(self) -> float:
        """The primary metric of always giving the most frequent label, a share."""
        held = self.sample.task.indicators(self.sample.gold, len(self.sample.labels))
        return float(2 * held.sum(axis=0).max() / (len(held) + held.sum()))


def doubtful_texts(floor: Scored, probe: Scored, sample: Sample) -> tuple[tuple[DoubtfulText, ...], int]:
    """Return the ten texts whose label is most doubtful, and how many have a sure other label (0.9 or more).

    The probe is surest of them, and the floor agrees. With several labels per text, a text counts if both agree on at
    least one label that the data do not give it.
    """
    task, count = sample.task, len(sample.labels)
    one, two = (task.indicators(task.decide(each.logits), count) for each in (floor, probe))
    gold = task.indicators(sample.gold, count)
    logits = probe.logits.astype(np.float64)  # overconfident, and calibrated on the texts that they were not fitted on
    probable = task.probabilities(logits / fit_temperature(logits, sample.gold, task))
    against = one & two & ~gold
    score = np.where(against, probable, 0).max(axis=1)
    rows = np.flatnonzero(against.any(axis=1))
    rows = rows[np.argsort(-score[rows], kind="stable")]
    found = []
    for row in rows[:_SHOWN]:
        pair = "" if sample.split.pairs is None else f" | {sample.split.pairs[row]}"
        label = int(np.where(against[row], probable[row], 0).argmax())
        found.append(
            DoubtfulText(
                where=short_place(sample.split.where(int(row))),
                text=" ".join(shown(sample.split.texts[row] + pair).split())[:100],
                label=", ".join(task.names_of(sample.gold[row], sample.labels)) or "(none)",
                found=sample.labels[label],
                score=float(score[row]),
            )
        )
    return tuple(found), int((score >= _SURE).sum())
