"""Comparison of the runs of one recipe over several seeds: whether distillation helps by more than chance.

A student that is a point better than its control may owe it to its seed or to the texts. So metrics are reported as
mean and standard deviation over seeds, and students are compared with controls and with the teacher by an interval
that treats both seeds and texts as samples. The report says whether that interval excludes zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.errors import ConfigError, ModelError
from liteft.metrics import Estimate, paired_interval_over_seeds
from liteft.results import Result
from liteft.run import Run
from liteft.tasks import Task
from liteft.text_tables import Rows, aligned, markdown

__all__ = ["SeedsDifference", "SeedsRow", "SeedsTable", "seeds_table"]


@dataclass(frozen=True, slots=True)
class SeedsRow:
    """The runs of one kind.

    Attributes:
        kind: "student", "control" or "teacher".
        seeds: the runs' seeds.
        values: metric -> one value per run, in the order of ``seeds``.
    """

    kind: str
    seeds: tuple[int, ...]
    values: dict[str, tuple[float, ...]]

    def mean(self, metric: str) -> float:
        """Return a metric's mean over seeds."""
        return float(np.mean(self.values[metric]))

    def deviation(self, metric: str) -> float | None:
        """Return a metric's standard deviation over seeds (with n - 1); None for a single seed."""
        values = self.values[metric]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        measured = {
            name: {"values": list(values), "mean": self.mean(name), "standard_deviation": self.deviation(name)}
            for name, values in self.values.items()
        }
        return {"kind": self.kind, "seeds": list(self.seeds), "metrics": measured}


@dataclass(frozen=True, slots=True)
class SeedsDifference:
    """The difference between two kinds of runs on the same texts.

    Attributes:
        kind, against: the two kinds; the difference is ``kind`` minus ``against``.
        metric: "accuracy", or "exact_match" for multi-label.
        estimate: mean difference, a share, with its 95% interval over seeds and texts.
    """

    kind: str
    against: str
    metric: str
    estimate: Estimate

    @property
    def verdict(self) -> str:
        """Whether the interval excludes zero, in words."""
        return "excludes zero" if self.estimate.excludes_zero else "does not exclude zero"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": self.kind,
            "against": self.against,
            "metric": self.metric,
            "difference": self.estimate.value,
            "interval": [self.estimate.low, self.estimate.high],
            "excludes_zero": self.estimate.excludes_zero,
        }


@dataclass(frozen=True, slots=True)
class SeedsTable(Result):
    """Students, controls and teachers compared over seeds.

    Attributes:
        rows: one row for the students, then for controls and teachers if there are any.
        differences: students minus controls, and students minus teachers.
        task: what the labels mean.
        data: name of the data set.
        split: name of the split.
        texts: number of texts in the split.
        notes: caveats for the reader of the numbers.
    """

    rows: tuple[SeedsRow, ...]
    differences: tuple[SeedsDifference, ...]
    task: Task
    data: str
    split: str
    texts: int
    notes: tuple[str, ...] = ()

    def render(self) -> str:
        """Return the table as text for a terminal."""
        parts = [self._title(), "", aligned(self._means(), texts=2)]
        if self.differences:
            parts += ["", aligned(self._compared(), texts=1)]
        return "\n".join([*parts, "", *self._explanations()])

    def to_markdown(self) -> str:
        """Return the table in Markdown."""
        parts = [self._title(), markdown(self._means(), texts=2)]
        if self.differences:
            parts.append(markdown(self._compared(), texts=1))
        parts.append("\n".join(f"- {line}" for line in self._explanations()))
        return "\n\n".join(parts) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "texts": self.texts,
            "task": self.task,
            "rows": [row.to_dict() for row in self.rows],
            "differences": [difference.to_dict() for difference in self.differences],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"SeedsTable({self._title()}, {len(self.rows)} rows)"

    def _title(self) -> str:
        return f"{self.data} {self.split}: {self.texts:,} texts".strip()

    def _means(self) -> Rows:
        """Return the rows of the table of means and standard deviations, the header first."""
        usual = self.task.headline_metrics
        # a metric that is undefined for some run (such as one of a class without any text) gets no column
        shown = [name for name in usual if all(name in row.values for row in self.rows)]
        rows: list[tuple[str, ...]] = [("runs", "seeds", *(f"{name.replace('_', ' ')} %" for name in shown))]
        for row in self.rows:
            cells = [_spread(row.mean(name), row.deviation(name)) for name in shown]
            rows.append((row.kind, ", ".join(map(str, row.seeds)), *cells))
        return rows

    def _compared(self) -> Rows:
        """Return the rows of the table of differences, the header first."""
        metric = self.differences[0].metric.replace("_", " ")
        rows: list[tuple[str, ...]] = [("difference", f"points of {metric}", "95% interval", "")]
        for found in self.differences:
            value, low, high = (
                f"{100 * number:+.2f}" for number in (found.estimate.value, found.estimate.low, found.estimate.high)
            )
            rows.append((f"{found.kind} - {found.against}", value, f"[{low}, {high}]", found.verdict))
        return rows

    def _explanations(self) -> list[str]:
        lines = ["±: standard deviation over seeds (n - 1)."]
        if self.differences:
            lines.append("Interval of the mean difference on the same texts; both seeds and texts are samples.")
        return [*lines, *(f"Note: {note}." for note in self.notes)]


def seeds_table(
    students: Sequence[Run],
    controls: Sequence[Run] = (),
    teachers: Sequence[Run] = (),
    *,
    split: str = "test",
) -> SeedsTable:
    """Compare the runs of one recipe over its seeds.

    Args:
        students: distilled runs that differ in their seed only.
        controls: runs of the same recipe without a teacher.
        teachers: one or more runs of the teacher.
        split: name of a split of the runs' data set.

    Returns:
        SeedsTable, computed from the metrics and predictions stored in the runs; no model is run.

    Raises:
        ConfigError: there are no students, a seed occurs twice, or students and controls are mixed up.
        ModelError: the runs differ in data, labels or task.
        RunError: a run has no labelled predictions for the split.
    """
    groups = {"student": list(students), "control": list(controls), "teacher": list(teachers)}
    groups = {kind: runs for kind, runs in groups.items() if runs}
    _check_runs(groups)
    first = students[0]
    right: dict[str, list[np.ndarray]] = {
        kind: [_right(run, split, first) for run in runs] for kind, runs in groups.items()
    }
    metric = first.task.text_metric
    return SeedsTable(
        rows=tuple(_row(kind, runs, split) for kind, runs in groups.items()),
        differences=tuple(
            SeedsDifference("student", kind, metric, paired_interval_over_seeds(right[kind], right["student"]))
            for kind in groups
            if kind != "student"
        ),
        task=first.task,
        data=str((first.info.get("data") or {}).get("name", "")),
        split=split,
        texts=len(right["student"][0]),
        notes=tuple(
            f"{kind}s have one seed, so the variation between their seeds is unknown and in no interval"
            for kind, runs in groups.items()
            if len(runs) == 1
        ),
    )


def _check_runs(groups: dict[str, list[Run]]) -> None:
    """Refuse runs that share a seed, are of the wrong kind, or differ in data, labels or task."""
    if "student" not in groups:
        raise ConfigError("there are no students to compare.", fix="seeds_table(students, controls, teachers)")
    for kind, runs in groups.items():
        seeds = [int(run.info["seed"]) for run in runs]
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            paths = [str(run.path) for run, seed in zip(runs, seeds, strict=True) if seed == twice[0]]
            raise ConfigError(
                f"{len(paths)} {kind}s have the seed {twice[0]}, so they are not independent runs.",
                accepted={"the runs": ", ".join(paths)},
                fix="name one of these runs, and runs of other seeds",
            )
        opposite = {"student": "control", "control": "student"}.get(kind)
        for run in runs:
            if run.kind == opposite:
                raise ConfigError(
                    f"{run.path} is a {opposite} but was given as a {kind}.", fix=f"give it as a {opposite}"
                )
    first = groups["student"][0]
    for run in (run for runs in groups.values() for run in runs):
        if run.task != first.task or run.labels != first.labels or _data(run) != _data(first):
            raise ModelError(
                f"{run.path} and {first.path} were trained on different data or labels.",
                accepted={str(one.path): f"{one.task}, {_data(one)}" for one in (run, first)},
                fix="runs of the same data",
            )


def _data(run: Run) -> str:
    data = run.info.get("data") or {}
    return f"{data.get('name', 'unnamed')} {str(data.get('fingerprint', ''))[:12]}".strip()


def _right(run: Run, split: str, first: Run) -> np.ndarray:
    """Return which texts a run gets entirely right: bool (texts,)."""
    logits, gold = run.predictions(split)
    return first.task.correct(logits, gold, unseen_label=run.unseen_label(split))


def _row(kind: str, runs: Sequence[Run], split: str) -> SeedsRow:
    found = [run.metrics[split] for run in runs]
    names = [name for name in runs[0].task.metrics if all(one.get(name) is not None for one in found)]
    return SeedsRow(
        kind,
        tuple(int(run.info["seed"]) for run in runs),
        {name: tuple(float(one[name]) for one in found) for name in names},
    )


def _spread(mean: float, deviation: float | None) -> str:
    return f"{100 * mean:.2f}" if deviation is None else f"{100 * mean:.2f} ± {100 * deviation:.2f}"
