"""The result of a comparison: numbers as plain data, and as two tables for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from liteft.arms import ARMS, COMPARED
from liteft.metrics import PairedTest
from liteft.report.diagnosis import Diagnosis
from liteft.report.floor_rows import MeasuredFloor
from liteft.report.load import Load
from liteft.report.subjects import Subject
from liteft.report.workers import Speed
from liteft.results import Result
from liteft.tasks import Task
from liteft.text_tables import aligned, markdown, metric_words, points, share

__all__ = ["Comparison", "Measured"]

_WIDE = 0.5  # a model whose rounds spread further than this share of their median has unreliable speeds


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's numbers.

    Attributes:
        subject: the model: name, folder, engine, sizes.
        scores: metrics by name, shares between 0 and 1 (log_loss in nats); see ``Task.score``.
        intervals: 95% confidence intervals of some of the metrics, by the same names.
        paired: McNemar's test against the first model on which texts are entirely right; None for the first model, and
            for scores, which are not right or wrong.
        f1_difference: where the main metric is no share of texts (an F1, a correlation), the 95% interval of this
            model's minus the first's; else None.
        agreement: share of texts, or words, that get the same answer from the first model.
        speed: latency and throughput; None if it was not timed.
        peak_memory_bytes: peak memory of the model's process after loading and timing, or None.
        versions: package -> version, of the packages that ran the model.
        diagnosis: where it is wrong; None if that was not asked for.
    """

    subject: Subject
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    paired: PairedTest | None
    f1_difference: tuple[float, float] | None
    agreement: float
    speed: Speed | None
    peak_memory_bytes: int | None
    versions: dict[str, str]
    diagnosis: Diagnosis | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data; sizes in MB of 10^6 bytes, times in milliseconds."""
        subject, speed, peak = self.subject, self.speed, self.peak_memory_bytes
        return {
            "name": subject.name,
            "path": str(subject.path),
            "form": subject.form,
            "engine": subject.engine,
            "parameters": subject.parameters,
            "model_mb": subject.model_bytes / 1e6,
            "folder_mb": subject.folder_bytes / 1e6,
            "metrics": self.scores,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "against_first": None if self.paired is None else self.paired.to_dict(),
            "micro_f1_difference": None if self.f1_difference is None else list(self.f1_difference),
            "agreement_with_first": self.agreement,
            "latency_p50_ms": None if speed is None else speed.p50_ms,
            "latency_p99_ms": None if speed is None else speed.p99_ms,
            "texts_per_second": None if speed is None else speed.texts_per_second,
            "timing": None if speed is None else asdict(speed),
            "peak_memory_mb": None if peak is None else peak / 1e6,
            "versions": self.versions,
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Comparison(Result):
    """The result of a comparison.

    Attributes:
        models: the models in the given order; the first is the reference for the others.
        task: what the labels mean.
        data: name of the data set, or "".
        split: name of the split.
        texts: number of texts in the split.
        majority: share of texts that the most frequent answer alone gets right; of words, one tag for all of them.
        threads: threads of each model.
        device: "cpu" or "cuda".
        batch_size: texts per call in the measurement of ``texts_per_second``.
        machine: processor, cores and system.
        notes: caveats for the reader of the numbers.
        load: the load by other processes while the models were timed; None if they were not timed.
        floors: simple models that were trained on the labels alone; none if they were left out.
        unbeaten: a sentence for each model that does not beat the floors.
    """

    models: tuple[Measured, ...]
    task: Task
    data: str
    split: str
    texts: int
    majority: float
    threads: int
    device: str
    batch_size: int
    machine: dict[str, Any]
    notes: tuple[str, ...] = ()
    load: Load | None = None
    floors: tuple[MeasuredFloor, ...] = ()
    unbeaten: tuple[str, ...] = ()

    @property
    def doubt(self) -> str:
        """Why the speeds are unreliable; "" if they are not."""
        if self.load is not None and self.load.busy:
            return self.load.words()
        wide = [model for model in self.models if model.speed is not None and model.speed.spread > _WIDE]
        if not wide:
            return ""
        far = max(wide, key=lambda model: model.speed.spread if model.speed else 0.0)
        assert far.speed is not None
        return f"the rounds of {far.subject.name} differ by {100 * far.speed.spread:.0f}% of its p50"

    def render(self) -> str:
        """Return the comparison as text for a terminal: a table of metrics, then one of sizes and speeds."""
        parts = [*self.unbeaten, _title(self), "", aligned(_quality(self), texts=2), ""]
        return "\n".join([*parts, aligned(_costs(self), texts=2), "", *_explanations(self)])

    def to_markdown(self) -> str:
        """Return the same two tables in Markdown, with their explanations."""
        lines = [f"- {line}" for line in _explanations(self)]
        tables = [markdown(_quality(self), texts=2), markdown(_costs(self), texts=2)]
        return "\n\n".join([*self.unbeaten, _title(self), *tables, "\n".join(lines)]) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain data, ready for JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "texts": self.texts,
            "task": self.task,
            "majority": None if self.task.numeric else self.majority,
            "threads": self.threads,
            "device": self.device,
            "batch_size": self.batch_size,
            "machine": self.machine,
            "models": [model.to_dict() for model in self.models],
            "floors": [floor.to_dict() for floor in self.floors],
            "unbeaten": list(self.unbeaten),
            "notes": list(self.notes),
            "load": None if self.load is None else self.load.to_dict(),
            "speeds_in_doubt": self.doubt or None,
        }

    def __repr__(self) -> str:
        names = ", ".join(model.subject.name for model in self.models)
        return f"Comparison({names}; {self.texts:,} texts of {self.data or 'a split'} {self.split})"


def _quality(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the rows of the table of metrics, the header first."""
    task = comparison.task
    shown = [*task.headline_metrics, *(name for name in task.metrics_of_queries if _all_have(comparison, name))]
    first = comparison.models[0].subject.name
    several = len(comparison.models) + len(comparison.floors) > 1
    header: tuple[str, ...] = ("model", "form", *(f"{metric_words(name)} %" for name in shown), *task.metrics_in_units)
    if several:
        header += (f"vs {first}", *(["p"] if task.paired_units else []), "agree %")
    rows = [header]
    for model in comparison.models:
        cells = [share(model.scores[name], model.intervals.get(name)) for name in shown]
        cells += [f"{model.scores[name]:.4g}" for name in task.metrics_in_units]
        if several:
            tested = [_p_value(model)] if task.paired_units else []
            cells += [_difference(model, comparison), *tested, f"{100 * model.agreement:.1f}"]
        rows.append((model.subject.name, model.subject.form, *cells))
    for floor in comparison.floors:
        cells = [share(floor.scores[name], floor.intervals.get(name)) for name in shown]
        cells += [_difference(floor, comparison), _p_value(floor), f"{100 * floor.agreement:.1f}"]
        rows.append((floor.name, "floor", *cells))
    return rows


def _costs(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the rows of the table of sizes and speeds, the header first."""
    header = ("model", "form", "parameters", "file MB", "folder MB", "p50 ms", "p99 ms", "texts/s", "peak MB")
    rows: list[tuple[str, ...]] = [header]
    mark = "~" if comparison.doubt else ""
    for model in comparison.models:
        subject, speed, peak = model.subject, model.speed, model.peak_memory_bytes
        rows.append(
            (
                subject.name,
                subject.form,
                f"{subject.parameters / 1e6:.1f} M",
                f"{subject.model_bytes / 1e6:.1f}",
                f"{subject.folder_bytes / 1e6:.1f}",
                "-" if speed is None else mark + _three_digits(speed.p50_ms),
                "-" if speed is None else mark + _three_digits(speed.p99_ms),
                "-" if speed is None else f"{mark}{speed.texts_per_second:,.0f}",
                "-" if peak is None else f"{peak / 1e6:,.0f}",
            )
        )
    return rows


def _all_have(comparison: Comparison, metric: str) -> bool:
    return all(metric in each.scores for each in comparison.models)


def _difference(model: Measured | MeasuredFloor, comparison: Comparison) -> str:
    """Return the points gained over the first model, with a 95% interval."""
    if model.f1_difference is not None:
        metric = comparison.task.primary_metric
        return points(model.scores[metric] - comparison.models[0].scores[metric], model.f1_difference)
    if model.paired is None:
        return "-"
    low, high = model.paired.low, model.paired.high
    return points(model.paired.difference, (low, high))


def _p_value(model: Measured | MeasuredFloor) -> str:
    if model.paired is None:
        return "-"
    return "<0.001" if model.paired.p_value < 0.001 else f"{model.paired.p_value:.3f}"


def _start(subject: Subject) -> str:
    """Return what a run started from, in words, if it says it."""
    return str((subject.info or {}).get("start", ""))


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _title(comparison: Comparison) -> str:
    majority = f"; the most frequent answer alone: {100 * comparison.majority:.1f}%"
    if comparison.task.per_word:
        majority = f"; one tag for all words is right in {100 * comparison.majority:.1f}% of them"
    if comparison.task.numeric:
        majority = ""
    if comparison.split == "all":
        return f"{comparison.data}: all {comparison.texts:,} texts{majority}"
    where = f"{comparison.data} {comparison.split}".strip()
    return f"{where}: {comparison.texts:,} texts{majority}"


def _explanations(comparison: Comparison) -> Sequence[str]:
    """Return the lines below the tables: what the columns mean, and the notes."""
    first = comparison.models[0].subject.name
    metric = metric_words(comparison.task.primary_metric)
    lines = ["[ ]: 95% intervals. MB: 10^6 bytes; folder: all files, the model's included."]
    starts = {model.subject.form.partition(",")[0]: _start(model.subject) for model in comparison.models}
    if starts.keys() & set(COMPARED.values()):
        lines += [f"{arm.described(starts[kind])}." for kind, arm in ARMS.items() if kind in starts]
    if comparison.task.per_word:
        lines.append(
            "F1: of spans with the right words and type; macro F1: mean over the types; accuracy: of words' tags; "
            "exact match: texts with every tag right."
        )
    if comparison.floors:
        lines.append("floor: a simple model that was trained on the labels alone.")
    if len(comparison.models) + len(comparison.floors) > 1:
        tested = comparison.task.paired_units
        tests = f" p: McNemar's paired test on {tested}." if tested else ""
        lines.append(f"vs {first}: points of {metric} gained.{tests}")
        if comparison.task.per_word:
            lines.append(f"agree: words with the same tag as {first}'s.")
    speed = comparison.models[0].speed
    if speed is not None:
        threads = f"{comparison.threads} thread{'s' if comparison.threads > 1 else ''}"
        place = f"{comparison.machine['processor']}, {threads}"
        if comparison.device != "cpu":
            place = f"{comparison.device}, {place}"
        timed = "text to spans" if comparison.task.per_word else "text to label"
        if comparison.task.extractive:
            timed = "question and context to answer"
        rounds = f"{len(speed.rounds)} round{'s' if len(speed.rounds) > 1 else ''}"
        lines.append(
            f"Speed: {place}; from {timed}, tokenization included; medians of {rounds} in turns, "
            f"{speed.calls} single texts and {speed.batches} calls of {comparison.batch_size} each."
        )
        if comparison.doubt:
            lines.append(f"~: {comparison.doubt}. These speeds are unreliable; compare again on a quiet machine.")
        lines.append("Peak MB: peak memory of a fresh process that loads the model and is timed.")
    return [*lines, *(f"Note: {note}." for note in comparison.notes)]
