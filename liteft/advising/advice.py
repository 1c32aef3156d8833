"""The result of ``liteft.advise``: what was measured and what to do, as text and as plain data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from liteft.advising.evidence import Evidence
from liteft.advising.recommend import Recommendation, at_chance
from liteft.data.notes import lines as worded_lines
from liteft.errors import option
from liteft.results import Result
from liteft.text_tables import aligned, metric_words, points, share

__all__ = ["Advice"]

_WITHIN = {True: "yes", False: "no", None: "not timed"}


@dataclass(frozen=True, slots=True)
class Advice(Result):
    """What the data are like, what is reachable, and what to run.

    Attributes:
        evidence: everything that was measured.
        recommendations: what to do and why, in order.
        verb: the command to run next, "distill" or "search".
        options: its options, by their names as arguments; those of the data left out.
        data_words: the words of the command line that name the data.
        notes: what was sampled or left out.
        seconds: time taken.
    """

    evidence: Evidence
    recommendations: tuple[Recommendation, ...]
    verb: str
    options: Mapping[str, object]
    data_words: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command to run next."""
        words = [word for name, value in self.options.items() for word in shlex.split(option(name, value).command)]
        return ("liteft", self.verb, *self.data_words, *words)

    def __repr__(self) -> str:
        choices = ", ".join(f"{each.topic} {each.choice}" for each in self.recommendations)
        return f"Advice({self.evidence.check.name}: {choices})"

    def render(self) -> str:
        """Return the advice as text: data, floors, probes, learning curves, sizes, and recommendations."""
        found = self.evidence
        lines = [*_data(found), "", _judges(found)]
        lines += ["", f"[ ]: 95% intervals. {_sampled(found)}"]
        lines += [line for part in (_curves(found), _costs(found), _doubtful(found)) for line in part]
        lines += ["", "advice:"]
        for each in self.recommendations:
            lines += [f"  {each.topic}: {each.choice}", f"    {each.reason}"]
        lines += [f"  note: {note}" for note in self.notes]
        lines += ["", f"next: {shlex.join(self.command)}"]
        return worded_lines(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as plain data, ready for JSON."""
        found = self.evidence
        return {
            "data": found.check.to_dict(),
            "metric": found.metric,
            "majority": found.majority,
            "sample": {"texts": len(found.sample), "of": found.sample.of},
            "tokens": None if found.lengths is None else asdict(found.lengths),
            "floors": [
                {"name": each.name, "metrics": each.scored.metrics, "intervals": _lists(each.scored.intervals)}
                for each in found.floors
            ],
            "bases": [
                {
                    "base": each.base,
                    "pooling": each.pooling,
                    "width": each.width,
                    "best": each.best,
                    "first_close": each.first_close,
                    "layers": [
                        asdict(layer)
                        | {
                            "intervals": _lists(layer.intervals),
                            "behind_interval": list(layer.behind_interval),
                            "close": layer.close,
                        }
                        for layer in each.layers
                    ],
                }
                for each in found.bases
            ],
            "advantage": None
            if found.advantage is None
            else {"difference": found.advantage[0], "interval": list(found.advantage[1])},
            "curves": [
                asdict(each) | {"sizes": list(each.sizes), "values": list(each.values), "interval": list(each.interval)}
                for each in found.curves
            ],
            "costs": {
                base: [asdict(each) | {"name": each.name} for each in costs] for base, costs in found.costs.items()
            },
            "doubtful": [asdict(each) for each in found.doubtful],
            "doubtful_count": found.doubtful_count,
            "recommendations": [asdict(each) for each in self.recommendations],
            "command": list(self.command),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def _lists(intervals: dict[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {name: list(interval) for name, interval in intervals.items()}


def _data(found: Evidence) -> Iterator[str]:
    check = found.check
    rows = ", ".join(f"{split.name} {split.rows:,}" for split in check.splits)
    yield f"data: {check.name} ({check.task.replace('_', '-')}, {len(check.labels)} labels): {rows}"
    counted = sorted(zip(found.label_counts.tolist(), check.labels, strict=True))
    if counted:
        (few, rarest), (many, frequent) = counted[0], counted[-1]
        yield f"  training texts per label: {few:,} ({rarest}) to {many:,} ({frequent})"
    if found.lengths is not None:
        lengths = found.lengths
        yield f"  tokens: median {lengths.median:,.0f}, 99% at most {lengths.p99:,.0f}; max_tokens {lengths.covering}"
    for warning in check.warnings:
        yield f"  warning: {warning}"


def _judges(found: Evidence) -> str:
    """Return the table of floors and layers, as text."""
    names = list(found.sample.task.headline_metrics)
    rows: list[tuple[str, ...]] = [("", *(f"{metric_words(name)} %" for name in names), "against the best")]
    rows.append(("most frequent answer", share(found.majority), *("" for _ in names)))
    for floor in found.floors:
        rows.append((floor.name, *_cells(floor.scored.metrics, floor.scored.intervals, names), ""))
    for base in found.bases:
        for layer in base.layers:
            name = f"{base.base}, {'embeddings' if layer.layer == 0 else f'layer {layer.layer}'}"
            mark = "best" if layer.layer == base.best else "close" if layer.close else ""
            against = mark if layer.layer == base.best else f"{layer.gained} {mark:<5}".rstrip()
            rows.append((name, *_cells(layer.metrics, layer.intervals, names), against))
    return aligned(rows, texts=(0, len(names) + 1))


def _cells(metrics: dict[str, float], intervals: dict[str, tuple[float, float]], names: list[str]) -> list[str]:
    return [share(metrics[name], intervals.get(name)) for name in names]


def _sampled(found: Evidence) -> str:
    sample = found.sample
    which = f"all {len(sample):,}" if len(sample) == sample.of else f"{len(sample):,} of {sample.of:,}"
    return f"Cross-validated on {which} training texts; layers by linear discriminants of pooled features, untrained."


def _curves(found: Evidence) -> Iterator[str]:
    if found.curves:
        metric = metric_words(found.metric)
        yield ""
        yield f"learning curves, {metric} % by labelled texts:"
    for curve in found.curves:
        measured = ", ".join(f"{size:,}: {share(value)}" for size, value in zip(curve.sizes, curve.values, strict=True))
        yield f"  {curve.name}: {measured}"
        yield f"    twice the {curve.labelled:,} texts: {points(curve.gain, curve.interval)} points, extrapolated"


def _costs(found: Evidence) -> Iterator[str]:
    for base, costs in found.costs.items():
        limited, timed = found.max_mb is not None, any(each.ms is not None for each in costs)
        header = ["student", "int8 MB", "with 8,000 tokens"]
        header += ["tokens that fit"] if limited else []
        header += ["ms"] if timed else []
        header += ["within"] if limited or timed else []
        rows = [header]
        for each in costs:
            fits = "all" if each.vocabulary is None else f"{each.vocabulary:,}" if each.vocabulary else "none"
            row = [each.name, f"{each.mb:.1f}", f"{each.trimmed_mb:.1f}"]
            row += [fits] if limited else []
            row += ["-" if each.ms is None else f"{each.ms:.2f}{' *' if each.interpolated else '  '}"] if timed else []
            row += [_WITHIN[each.within]] if limited or timed else []
            rows.append(row)
        yield ""
        yield f"students of {base}, predicted:"
        yield from (f"  {line}" for line in aligned(rows, texts=1, rule=False).splitlines())
        if any(each.interpolated for each in costs):
            yield "  *: between the timed depths"


def _doubtful(found: Evidence) -> Iterator[str]:
    if not found.doubtful or at_chance(found):
        return
    yield ""
    yield "the most doubtful labels, of those to which the best floor and the probe give the same other label:"
    for each in found.doubtful:
        yield f"  {each.label} -> {each.found} ({each.score:.2f})  {each.where}: {each.text}"
