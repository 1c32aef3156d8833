"""The performance targets, and whether the rows of bench/cuda_engines.py meet them, by two clocks.

The targets are for an H200 and for the time on the device, without copies from the host. The ratios apply on other GPUs
too; absolute numbers then only show the distance to an H200. The times from host to host are judged in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

OURS = ("LiteFT bf16", "LiteFT fp16")
CLOCKS = ("device", "host")
NOT_MEASURED = "not measured"
_TASK = ("model", "texts", "order", "batch")
_BEST = ("torch compile", "torch packed compile", "torch max-autotune", "torch graphs", "torch unpadded")
# torch at its best: compiled, in CUDA graphs by hand, and on real tokens only.
TORCH = tuple(f"{name} {precision}" for name in _BEST for precision in ("fp16", "bf16"))


@dataclass(frozen=True)
class Target:
    """A number to reach.

    Attributes:
        unit: "tokens/s", "us" (microseconds, where less is better), or "times" for a ratio.
        good: the number that counts as good.
        aim: the number to aim for.
        model, texts, order, batch: the task whose rows count.
        ours: LiteFT's contestants, of which the fastest counts.
        against: for a ratio, the other contestants, of which the fastest counts; empty for an absolute number.
    """

    unit: str
    good: float
    aim: float
    model: str
    texts: str
    order: str = "arrival"
    batch: int = 256
    ours: Sequence[str] = OURS
    against: Sequence[str] = ()

    @property
    def part(self) -> str:
        """The part of the comparison whose rows are judged, so that both sides of a ratio are from one run."""
        return "ratios" if self.against else "decisive"


TARGETS: dict[str, Target] = {
    "MiniLM-L6, dense 128, bf16": Target(
        "tokens/s", 12e6, 18e6, "MiniLM-L6", "dense 128", ours=("LiteFT bf16",)
    ),
    "BERT-base, dense 128, bf16": Target(
        "tokens/s", 2.4e6, 3.0e6, "BERT-base", "dense 128", ours=("LiteFT bf16",)
    ),
    "one text of 32 tokens, MiniLM-L6": Target("us", 150, 80, "MiniLM-L6", "dense 32", batch=1),
    "one text of 32 tokens, BERT-base": Target("us", 250, 150, "BERT-base", "dense 32", batch=1),
    **{
        f"{name}, {order}, batch 256, against torch at its best": Target(
            "times", good, aim, "MiniLM-L6", name, order, against=TORCH
        )
        for order, good, aim in (("sorted", 1.5, 3.0), ("arrival", 3.0, 5.0))
        for name in ("sst2", "imdb")
    },
}  # fmt: skip


def judge(rows: Sequence[Row], targets: Mapping[str, Target] = TARGETS) -> dict[str, dict[str, Any]]:
    """Return for each target what was measured and how good it is; without a row there is no number.

    A row counts if it has the seconds of a pass by both clocks, its ``tokens`` and its ``calls``. "measured" and
    "verdict" are for the time on the device, "host_measured" and "host_verdict" for that from host to host. Ratios
    compare passes on both sides. For a single text, the time on the device is that of replays if the row has it.
    """
    return {name: _judged(target, rows) for name, target in targets.items()}


def targets_of(part: str) -> dict[str, Target]:
    """Return the targets that a part of the comparison has to measure."""
    return {name: target for name, target in TARGETS.items() if target.part == part}


def not_measured(judged: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of targets without a number."""
    return [name for name, each in judged.items() if each["measured"] is None]


def table(judged: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the judged targets as a table in plain text."""
    lines = [("target", "good", "aim", "on the device", "", "host to host", "", "against")]
    for name, each in judged.items():
        unit = each["unit"]
        numbers = [_shown(each[key], unit) for key in ("good", "aim", "measured")]
        host = _shown(each.get("host_measured"), unit)
        verdicts = each["verdict"].partition(":")[0], each.get("host_verdict", "")
        lines.append((name, *numbers, verdicts[0], host, verdicts[1], each.get("against", "")))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _shown(number: float | None, unit: str) -> str:
    if number is None:
        return "-"
    return f"{number / 1e6:.3g} M {unit}" if unit == "tokens/s" else f"{number:.4g} {unit}"


def _judged(target: Target, rows: Sequence[Row]) -> dict[str, Any]:
    asked: dict[str, Any] = {"unit": target.unit, "good": target.good, "aim": target.aim}
    own = [row for row in rows if _task(row) == (target.model, target.texts, target.order, target.batch)]
    own = [row for row in own if all(f"{clock}_seconds" in row for clock in CLOCKS)]
    us = [row for row in own if row["contestant"] in target.ours]
    them = [row for row in own if row["contestant"] in target.against]
    if not us:
        return asked | {"measured": None, "verdict": f"{NOT_MEASURED}: LiteFT has no row"}
    if target.against and not them:
        missing = " and ".join(target.against)
        return asked | {"measured": None, "verdict": f"{NOT_MEASURED}: {missing} have no row"}
    for clock, prefix in zip(CLOCKS, ("", "host_"), strict=True):
        first = _fastest(us, clock)
        found, asked[f"{prefix}contestant"] = _number(target, first, clock), first["contestant"]
        if them:
            best = _fastest(them, clock)
            found, asked[f"{prefix}against"] = found / _number(target, best, clock), best["contestant"]
        asked |= {f"{prefix}measured": float(f"{found:.4g}"), f"{prefix}verdict": _verdict(target, found)}
    if target.against:
        timed = {row["contestant"] for row in own}
        asked["not_timed"] = [name for name in target.against if name not in timed]
    return asked


def _number(target: Target, row: Row, clock: str) -> float:
    if target.unit != "us":
        return float(row["tokens"] / row[f"{clock}_seconds"])
    seconds = row.get("replay_seconds", row["device_seconds"]) if clock == "device" else row["host_seconds"]
    return float(1e6 * seconds / row["calls"])


def _verdict(target: Target, found: float) -> str:
    reached: Callable[[float], bool] = (
        (lambda limit: found <= limit) if target.unit == "us" else (lambda limit: found >= limit)
    )
    return "aim reached" if reached(target.aim) else "good" if reached(target.good) else "missed"


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return LiteFT over each other contestant, by the time on the device and from host to host, for each task."""
    found = []
    for task in dict.fromkeys(map(_task, rows)):
        own = [row for row in rows if _task(row) == task]
        ours = [row for row in own if row["contestant"] in OURS and "device_seconds" in row]
        if not ours or len(ours) == len(own):
            continue
        entry: dict[str, Any] = dict(zip(_TASK, task, strict=True))
        for clock in CLOCKS:
            us, key = _fastest(ours, clock), f"{clock}_seconds"
            entry[f"{clock}_ours"] = us["contestant"]
            others = [row for row in own if row["contestant"] not in OURS and key in row]
            entry[clock] = {row["contestant"]: round(row[key] / us[key], 2) for row in others}
        found.append(entry)
    return found


def _task(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in _TASK)


def _fastest(rows: Iterable[Row], clock: str) -> Row:
    return min(rows, key=lambda row: row[f"{clock}_seconds"] / row["tokens"])
