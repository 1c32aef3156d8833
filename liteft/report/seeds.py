"""Comparison of the arms of one recipe over several seeds or subsets of labels: what helps by more than chance.

A student that is a point better than its control may owe it to its seed, to the labels it got or to the texts. So
metrics are reported as mean and standard deviation over seeds or subsets, and students are compared with each arm and
with the teacher by an interval that treats seeds or subsets, and texts, as samples. The report says whether that
interval excludes zero, and what each arm starts from and sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from liteft.arms import ARMS, threshold_notes, worse_than_arms
from liteft.errors import ConfigError, ModelError
from liteft.metrics import Estimate, paired_interval_over_seeds, paired_interval_over_subsets
from liteft.ragged import equal_rows
from liteft.results import Result
from liteft.run import Run
from liteft.tasks import Task
from liteft.text_tables import Rows, aligned, markdown, metric_words

__all__ = ["SeedsDifference", "SeedsRow", "SeedsTable", "seeds_table"]

Unit = Literal["seed", "subset"]
_CONFIDENCE = {"log_loss": "NLL", "calibration_error": "ECE"}


@dataclass(frozen=True, slots=True)
class SeedsRow:
    """The runs of one kind.

    Attributes:
        kind: "student", another arm, or "teacher".
        seeds: the runs' seeds; of subsets, their numbers in the order in which they were given.
        values: metric -> one value per run, in the order of ``seeds``.
        start: what an arm started from, in words, if its runs say it.
    """

    kind: str
    seeds: tuple[int, ...]
    values: dict[str, tuple[float, ...]]
    start: str = ""

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
        metric: the task's primary metric.
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
    """Students, the arms beside them and teachers, compared over seeds or over subsets of labels.

    Attributes:
        rows: one row for the students, then for each other arm and for the teachers, if there are any.
        differences: students minus each of the others.
        task: what the labels mean.
        data: name of the data set.
        split: name of the split.
        texts: number of texts in the split.
        notes: caveats for the reader of the numbers.
        unit: what the runs of one row differ in.
    """

    rows: tuple[SeedsRow, ...]
    differences: tuple[SeedsDifference, ...]
    task: Task
    data: str
    split: str
    texts: int
    notes: tuple[str, ...] = ()
    unit: Unit = "seed"

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
            "unit": self.unit,
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know first: the arms that are better than the student by more than chance."""
        found = {of.against: (of.estimate.value, of.estimate.low, of.estimate.high) for of in self.differences}
        return worse_than_arms(found, f"{metric_words(self.task.primary_metric)} on {self.split}")

    def __repr__(self) -> str:
        return f"SeedsTable({self._title()}, {len(self.rows)} rows)"

    def _title(self) -> str:
        return f"{self.data} {self.split}: {self.texts:,} texts".strip()

    def _means(self) -> Rows:
        """Return the rows of the table of means and standard deviations, the header first."""
        # a metric that is undefined for some run (such as one of a class without any text) gets no column
        shown = [name for name in (*self.task.headline_metrics, *_CONFIDENCE) if self._in_all(name)]
        titles = [_CONFIDENCE.get(name) or _percent(name) for name in shown]
        rows: list[tuple[str, ...]] = [("runs", f"{self.unit}s", *titles)]
        for row in self.rows:
            cells = [
                _spread(row.mean(name), row.deviation(name), *((1, 3) if name in _CONFIDENCE else (100, 2)))
                for name in shown
            ]
            rows.append((_title(row.kind), ", ".join(map(str, row.seeds)), *cells))
        return rows

    def _in_all(self, metric: str) -> bool:
        return all(metric in row.values for row in self.rows)

    def _compared(self) -> Rows:
        """Return the rows of the table of differences, the header first."""
        metric = metric_words(self.differences[0].metric)
        rows: list[tuple[str, ...]] = [("difference", f"points of {metric}", "95% interval", "")]
        for found in self.differences:
            value, low, high = (
                f"{100 * number:+.2f}" for number in (found.estimate.value, found.estimate.low, found.estimate.high)
            )
            rows.append((f"{found.kind} - {_title(found.against)}", value, f"[{low}, {high}]", found.verdict))
        return rows

    def _explanations(self) -> list[str]:
        lines = [f"±: standard deviation over {self.unit}s (n - 1)."]
        if self._in_all("log_loss"):
            right = "tag of a word" if self.task.per_word else "label"
            lines.append(
                f"NLL: mean negative log-likelihood of the right {right}, nats. ECE: expected calibration error."
            )
        if self.differences:
            repeated = any(len(row.seeds) > 1 for row in self.rows)
            of, sampled = ("mean difference", f"both {self.unit}s and texts") if repeated else ("difference", "texts")
            lines.append(f"Interval of the {of} on the same texts; {sampled} are samples.")
        lines += [f"{ARMS[row.kind].described(row.start)}." for row in self.rows if row.kind in ARMS]
        return [*lines, *(f"Note: {note}." for note in self.notes)]


def seeds_table(runs: Sequence[Run], *, split: str = "test", unit: Unit = "seed") -> SeedsTable:
    """Compare the arms of one recipe over its seeds, or over several subsets of the labels.

    Args:
        runs: students, the arms beside them and their teachers, in any order; a run says itself which it is.
        split: name of a split of the runs' data set.
        unit: what the runs of one kind differ in. Of "subset", every kind must have one run of each data set, and all
            must have the same ``split``; kinds are then compared within each subset.

    Returns:
        SeedsTable, computed from the metrics and predictions stored in the runs; no model is run.

    Raises:
        ConfigError: there are no students, a seed occurs twice, or a kind lacks a subset.
        ModelError: the runs differ in data, labels or task.
        RunError: a run has no labelled predictions for the split.
    """
    groups = _grouped(runs)
    if unit == "seed":
        _check_seeds(groups)
        interval: Callable[..., Estimate] = paired_interval_over_seeds
    else:
        groups = _in_order_of_subsets(groups)
        interval = paired_interval_over_subsets
    first = groups["student"][0]
    _check_data(groups, first, split, unit)
    scores = {kind: [_contributions(run, split, first) for run in each] for kind, each in groups.items()}
    metric = first.task.primary_metric
    return SeedsTable(
        rows=tuple(_row(kind, each, split, unit) for kind, each in groups.items()),
        differences=tuple(
            SeedsDifference("student", kind, metric, interval(scores[kind], scores["student"]))
            for kind in groups
            if kind != "student"
        ),
        task=first.task,
        data=str((first.info.get("data") or {}).get("name", "")),
        split=split,
        texts=len(scores["student"][0]),
        notes=_notes(groups, unit)
        + threshold_notes({_title(kind): any(run.tuned for run in each) for kind, each in groups.items()}),
        unit=unit,
    )


def _notes(groups: dict[str, list[Run]], unit: Unit) -> tuple[str, ...]:
    """Return a note on the kinds of which there is one run, if there are any."""
    alone = [f"one {_title(kind)}" for kind, each in groups.items() if len(each) == 1]
    if not alone:
        return ()
    listed = " and ".join([", ".join(alone[:-1]), alone[-1]] if len(alone) > 1 else alone)
    return (f"there is {listed}, so the variation between {unit}s is unknown and in no interval",)


def _grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs by kind: the students first, then the other arms, the teachers last."""
    kinds = [kind for kind in (*ARMS, "teacher") if any(run.kind == kind for run in runs)]
    if "student" not in kinds:
        raise ConfigError("there are no students to compare.", fix="seeds_table([student, control, teacher])")
    return {kind: [run for run in runs if run.kind == kind] for kind in kinds}


def _check_seeds(groups: dict[str, list[Run]]) -> None:
    """Refuse runs of one kind that share a seed."""
    for kind, runs in groups.items():
        seeds = [int(run.info["seed"]) for run in runs]
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            paths = [str(run.path) for run, seed in zip(runs, seeds, strict=True) if seed == twice[0]]
            raise ConfigError(
                f"{len(paths)} runs of the kind {kind} have the seed {twice[0]}, so they are not independent.",
                accepted={"the runs": ", ".join(paths)},
                fix=["name one of these runs, and runs of other seeds", 'unit="subset", for runs on subsets of labels'],
            )


def _in_order_of_subsets(groups: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """Return the runs of each kind in one order of subsets, the students'.

    Raises:
        ConfigError: a kind lacks a subset, or has it twice.
    """
    order = [_data(run) for run in groups["student"]]
    for kind, runs in groups.items():
        found = [_data(run) for run in runs]
        if sorted(found) != sorted(set(order)):
            raise ConfigError(
                f"the runs of the kind {kind} are not of the students' subsets, one each.",
                accepted={"the students' data": ", ".join(order), f"data of {kind}": ", ".join(found)},
                fix="one run of every kind for each subset",
            )
    return {kind: sorted(runs, key=lambda run: order.index(_data(run))) for kind, runs in groups.items()}


def _check_data(groups: dict[str, list[Run]], first: Run, split: str, unit: Unit) -> None:
    """Refuse runs that differ in task, labels or data; of subsets, in the texts that they are scored on."""
    for run in (run for runs in groups.values() for run in runs):
        same = run.task == first.task and run.labels == first.labels
        if unit == "seed":
            same = same and _data(run) == _data(first)
        elif same:
            same = equal_rows(run.predictions(split)[1], first.predictions(split)[1])
        if not same:
            raise ModelError(
                f"{run.path} and {first.path} were trained on different data or labels.",
                accepted={str(one.path): f"{one.task}, {_data(one)}" for one in (run, first)},
                fix="runs of the same data",
            )


def _data(run: Run) -> str:
    data = run.info.get("data") or {}
    return f"{data.get('name', 'unnamed')} {str(data.get('fingerprint', ''))[:12]}".strip()


def _contributions(run: Run, split: str, first: Run) -> np.ndarray:
    """Return each text's part in a run's primary metric: float64 (texts,)."""
    logits, gold = run.predictions(split)
    return first.task.contributions(logits, gold, unseen_label=run.unseen_label(split))


def _row(kind: str, runs: Sequence[Run], split: str, unit: Unit) -> SeedsRow:
    found = [run.metrics[split] for run in runs]
    names = [name for name in runs[0].task.metrics if all(one.get(name) is not None for one in found)]
    return SeedsRow(
        kind,
        tuple(int(run.info["seed"]) for run in runs) if unit == "seed" else tuple(range(1, len(runs) + 1)),
        {name: tuple(float(one[name]) for one in found) for name in names},
        runs[0].start,
    )


def _title(kind: str) -> str:
    return ARMS[kind].title if kind in ARMS else kind


def _percent(metric: str) -> str:
    return f"{metric_words(metric)} %"


def _spread(mean: float, deviation: float | None, scale: int, digits: int) -> str:
    spread = "" if deviation is None else f" ± {scale * deviation:.{digits}f}"
    return f"{scale * mean:.{digits}f}{spread}"
