"""The result of a search: its candidates, the frontier among them and the winner, as plain data and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from liteft.frontier.budget import Budget
from liteft.results import Result
from liteft.tasks import Task
from liteft.text_tables import aligned, metric_words, share

__all__ = ["Candidate", "Frontier"]

_LIMITS = {"max_mb": "MB", "max_ms": "ms", "max_drop": "points"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One artifact of a search, or a shape or form with the reason why there is no artifact of it.

    Attributes:
        shape: layers and width, such as "3x384".
        form: precision, bits and vocabulary, such as "int8-4bit-12000"; "" if the whole shape was left out.
        status: "measured"; "hopeless": left out before its training, or given up during it; "refused": its export did
            not pass verification; "unneeded": a cheaper candidate is as good as the teacher.
        reason: why it was not measured, or None.
        path: the artifact's folder, or None.
        size_bytes: total size of the folder's files; if it was not exported, the predicted size or None.
        latency_ms: median latency of one text; if it was not trained, that of the untrained shape or None.
        quality: the main metric on the validation split, a share, or None.
        drop: points of the main metric below the teacher's, or None.
        interval: 95% confidence interval of ``quality``, shares, or None.
        excess: exceeded limits -> by how much, in MB, ms or points.
        student: the main metric of the student before its export, on the validation split, or None.
    """

    shape: str
    form: str
    status: Literal["measured", "hopeless", "refused", "unneeded"]
    reason: str | None = None
    path: Path | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None
    quality: float | None = None
    drop: float | None = None
    interval: tuple[float, float] | None = None
    excess: dict[str, float] = field(default_factory=dict)
    student: float | None = None

    @property
    def name(self) -> str:
        """Shape and form, which is also the artifact's path in the folder of the search."""
        return f"{self.shape}/{self.form}" if self.form else self.shape

    @property
    def within(self) -> bool:
        """Whether it was measured and exceeds no limit."""
        return self.status == "measured" and not self.excess

    @property
    def costs(self) -> dict[str, float]:
        """The values that the limits apply to, by the limit's name: MB, ms, points. Only for a measured candidate."""
        return {
            "max_mb": (self.size_bytes or 0) / 1e6,
            "max_ms": self.latency_ms or 0.0,
            "max_drop": self.drop or 0.0,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as plain data; its size is "mb", in 10^6 bytes."""
        content = asdict(self) | {"path": None if self.path is None else str(self.path), "within": self.within}
        size = content.pop("size_bytes")
        return {"name": self.name} | content | {"mb": None if size is None else size / 1e6}


@dataclass(frozen=True, slots=True)
class Frontier(Result):
    """The result of a search.

    Attributes:
        budget: the limits.
        task: what the labels mean; its main metric is the quality.
        data: name of the data set.
        texts: number of texts in the validation split, on which quality was measured.
        teacher: the teacher's main metric there, a share.
        candidates: in the order of the search, the cheapest shape first.
        winner: the candidate chosen among those within the budget; None if there is none.
        rule: why it won, in words.
        artifact: folder of the winner's copy, or None.
        nearest: without a winner, the names of the candidates that exceed the budget least.
        compromises: without a winner, the limits that would let a candidate win if raised alone: as flags, each with
            the name of that candidate.
        test: with a winner and a labelled test split: the main metric there of "winner" and "teacher", the winner's
            95% interval ("winner_interval"), and the number of "texts". The test split takes no part in any choice.
        machine: processor, cores, system and threads of the timings.
        picture: path of the picture; None if nothing was measured or matplotlib is missing.
        notes: caveats for the reader of the numbers.
    """

    budget: Budget
    task: Task
    data: str
    texts: int
    teacher: float
    candidates: tuple[Candidate, ...]
    winner: Candidate | None
    rule: str
    artifact: Path | None
    nearest: tuple[str, ...]
    compromises: tuple[str, ...]
    test: dict[str, Any] | None
    machine: dict[str, Any]
    picture: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """Name of the main metric: accuracy or micro_f1."""
        return self.task.primary_metric

    @property
    def measured(self) -> tuple[Candidate, ...]:
        """The candidates that were exported and measured."""
        return tuple(each for each in self.candidates if each.status == "measured")

    def best_for_size(self) -> tuple[Candidate, ...]:
        """Return the measured candidates that no candidate of the same or a smaller size beats, the smallest first."""
        return self._staircase("max_mb")

    def best_for_latency(self) -> tuple[Candidate, ...]:
        """Return the measured candidates that no candidate of the same or a lower latency beats, the fastest first."""
        return self._staircase("max_ms")

    def render(self) -> str:
        """Return the search as text: a table of what was measured, what was left out and why, and the winner."""
        metric = metric_words(self.metric)
        lines = [
            f"budget: {self.budget.text(metric)}",
            f"teacher: {share(self.teacher)}% {metric} on {self.texts:,} texts of {self.data} validation",
        ]
        lines += [f"note: {note}" for note in self.notes]
        if self.measured:
            lines += ["", _table(self, metric), "", *_explanations(self)]
        left = [each for each in self.candidates if each.status != "measured"]
        if left:
            lines += ["", "not exported:", *(f"  {each.name}: {each.reason}" for each in left)]
        return "\n".join([*lines, "", *_ending(self, metric)])

    def to_dict(self) -> dict[str, Any]:
        """Return the search as plain data, ready for JSON."""
        return {
            "budget": asdict(self.budget),
            "task": self.task,
            "metric": self.metric,
            "data": self.data,
            "texts": self.texts,
            "teacher": self.teacher,
            "candidates": [each.to_dict() for each in self.candidates],
            "frontier": {
                "mb": [each.name for each in self.best_for_size()],
                "ms": [each.name for each in self.best_for_latency()],
            },
            "winner": None if self.winner is None else self.winner.to_dict(),
            "rule": self.rule,
            "artifact": None if self.artifact is None else str(self.artifact),
            "nearest": list(self.nearest),
            "compromises": list(self.compromises),
            "test": self.test,
            "machine": self.machine,
            "picture": None if self.picture is None else str(self.picture),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        winner = "nothing is within the budget" if self.winner is None else f"winner {self.winner.name}"
        return f"Frontier({self.data}: {len(self.candidates)} candidates, {winner})"

    def _staircase(self, cost: str) -> tuple[Candidate, ...]:
        found: list[Candidate] = []
        for each in sorted(self.measured, key=lambda one: (one.costs[cost], -(one.quality or 0.0))):
            if not found or (each.quality or 0.0) > (found[-1].quality or 0.0):
                found.append(each)
        return tuple(found)


def _table(found: Frontier, metric: str) -> str:
    """Return the rows of the table of measured candidates, as text."""
    frontier = {each.name for each in (*found.best_for_size(), *found.best_for_latency())}
    rows: list[tuple[str, ...]] = [("size", "form", "folder MB", "p50 ms", f"{metric} %", "vs teacher", "budget")]
    for each in found.measured:
        quality = share(each.quality or 0.0, each.interval)
        marks = "winner" if each is found.winner else "within" if each.within else _beyond(each)
        form = each.form + (" *" if each.name in frontier else "")
        mb, ms = f"{each.costs['max_mb']:.2f}", f"{each.costs['max_ms']:.2f}"
        rows.append((each.shape, form, mb, ms, quality, f"{-each.costs['max_drop']:+.1f}", marks))
    return aligned(rows, texts=2)


def _beyond(candidate: Candidate) -> str:
    return ", ".join(f"+{more:.2g} {_LIMITS[name]}" for name, more in candidate.excess.items())


def _explanations(found: Frontier) -> list[str]:
    threads = found.machine["threads"]
    return [
        "*: on the frontier: nothing as small or as fast is better. [ ]: 95% intervals. MB: 10^6 bytes, all files.",
        f"p50: one text, tokenization included; {found.machine['processor']}, {threads} thread{'s' * (threads != 1)}.",
    ]


def _ending(found: Frontier, metric: str) -> list[str]:
    """Return the lines about the winner, or about the candidates that come nearest."""
    winner = found.winner
    if winner is not None:
        lines = [f"winner: {winner.name}, {found.rule}"]
        if found.test is not None:
            tested = share(found.test["winner"], tuple(found.test["winner_interval"]))
            against = share(found.test["teacher"])
            lines.append(
                f"on {found.test['texts']:,} texts of the test split, which took no part in the choice: "
                f"{metric} {tested}%, teacher {against}%"
            )
        lines.append(f"artifact: {found.artifact}")
    else:
        lines = ["nothing is within the budget."]
        known = {each.name: each for each in found.candidates}
        lines += [f"  nearest: {name}, {_beyond(known[name])}" for name in found.nearest]
        lines += [f"  it would take {line}" for line in found.compromises]
    return [*lines, *([] if found.picture is None else [f"picture: {found.picture}"])]
