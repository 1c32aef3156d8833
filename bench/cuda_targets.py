"""What bench/cuda_engines.py's rows come to: the targets, by name, and whether they were met.

A target holds for an H200 and for the time on the device, copies not included; on another GPU the ratios hold all the
same, and the absolute numbers say what it takes beside an H200.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]

OURS = ("LiteFT bf16", "LiteFT fp16")
_TASK = ("model", "texts", "order", "batch")
# torch at its best: compiled, in CUDA graphs by hand, and on real tokens only.
TORCH = ("torch compile fp16", "torch max-autotune fp16", "torch graphs fp16", "torch unpadded fp16")


@dataclass(frozen=True)
class Target:
    """A number to be reached.

    Attributes:
        unit: of the numbers. Of "us", less is better.
        good, aim: what counts as good, and what is aimed at.
        model, texts, order, batch: of the rows that count.
        ours: LiteFT's contestants that count.
        against: the contestants that a ratio is against, the fastest of them; none: an absolute number.
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
    """Return for each target what was measured and whether it is good or better; no number where a row is missing.

    A row counts that has ``device_seconds``, ``tokens`` and ``calls`` of a pass.
    """
    return {name: _judged(target, rows) for name, target in targets.items()}


def _judged(target: Target, rows: Sequence[Row]) -> dict[str, Any]:
    asked = {"unit": target.unit, "good": target.good, "aim": target.aim}
    own = [row for row in rows if _is_of(target, row) and "device_seconds" in row]
    us = _fastest(row for row in own if row["contestant"] in target.ours)
    if us is None:
        return asked | {"measured": None, "verdict": "not measured: LiteFT has no row"}
    asked["contestant"] = us["contestant"]
    if target.against:
        them = _fastest(row for row in own if row["contestant"] in target.against)
        if them is None:
            missing = " and ".join(target.against)
            return asked | {"measured": None, "verdict": f"not measured: {missing} have no row"}
        asked["against"] = them["contestant"]
        timed = {row["contestant"] for row in own}
        asked["not_timed"] = [name for name in target.against if name not in timed]
        found = _rate(us) / _rate(them)
    elif target.unit == "us":
        found = 1e6 * us["device_seconds"] / us["calls"]
    else:
        found = _rate(us)
    reached: Callable[[float], bool] = (
        (lambda limit: found <= limit) if target.unit == "us" else (lambda limit: found >= limit)
    )
    verdict = "aim reached" if reached(target.aim) else "good" if reached(target.good) else "missed"
    return asked | {"measured": float(f"{found:.4g}"), "verdict": verdict}


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return LiteFT over each other contestant, by the time on the device and from host to host, for each task."""
    found = []
    for task in dict.fromkeys(map(_task, rows)):
        own = [row for row in rows if _task(row) == task]
        us = _fastest(row for row in own if row["contestant"] in OURS and "device_seconds" in row)
        if us is None:
            continue
        entry: dict[str, Any] = {**dict(zip(_TASK, task, strict=True)), "ours": us["contestant"]}
        for clock in ("device", "host"):
            key = f"{clock}_seconds"
            entry[clock] = {
                row["contestant"]: round(row[key] / us[key], 2)
                for row in own
                if row["contestant"] not in OURS and key in row and key in us
            }
        found.append(entry)
    return found


def _task(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in _TASK)


def _is_of(target: Target, row: Row) -> bool:
    return _task(row) == (target.model, target.texts, target.order, target.batch)


def _rate(row: Row) -> float:
    return float(row["tokens"] / row["device_seconds"])


def _fastest(rows: Iterable[Row]) -> Row | None:
    return max(rows, key=_rate, default=None)
