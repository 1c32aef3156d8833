"""Starts the contestants of bench/peers.py, compares them with torch, and times them in turns."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import tell
from peer_contestants import CONTESTANTS, Cores
from peer_kinds import Text
from peer_plan import Task
from peer_ratios import OURS, Row, operations
from peer_worker import Cell, Worker

FLOAT_TOLERANCE = 1e-3  # for float engines; the logits have a standard deviation of 1
SAME_LABEL = 0.9  # for coarser engines; near the boundary of an untrained classifier some labels change
_SHAPE = {"layers": 6, "width": 384, "inner": 1536}
_IDLE_SECONDS = 0.5

Checks = dict[str, dict[str, Any]]


@contextlib.contextmanager
def started(models: Path, only: Sequence[str], cores: Cores) -> Iterator[tuple[dict[str, Worker], Checks]]:
    """Start the contestants, and yield their workers and, for those that could not be started, the reasons."""
    workers: dict[str, Worker] = {}
    failed: Checks = {}
    try:
        for name in only:
            entry = CONTESTANTS[name]
            if cores.lanes > 1 and not entry.lanes:
                continue
            tell(f"starting {name}, cores {cores}")
            try:
                workers[name] = Worker(name, models / "checkpoint", models / entry.model, cores)
            except RuntimeError as error:
                _drop(workers, failed, name, error)
        yield workers, failed
    finally:
        for worker in workers.values():
            worker.close()


def check(
    workers: dict[str, Worker], checks: Checks, texts: tuple[Text, ...], reference: np.ndarray, *, classes: bool = True
) -> None:
    """Compare logits with torch's, and end the workers of contestants that do not agree.

    Float engines must be within FLOAT_TOLERANCE; the others must give the same label on most texts, or, without
    ``classes``, logits that correlate with torch's as much. The outcome, and the share of a core that a waiting worker
    uses, are recorded in ``checks``.
    """
    for name in list(workers):
        try:
            logits = workers[name].logits(texts)
        except RuntimeError as error:
            _drop(workers, checks, name, error)
            continue
        difference = float(np.abs(logits - reference).max())
        same = float((logits.argmax(1) == reference.argmax(1)).mean())
        if not classes:
            same = float(np.corrcoef(logits.ravel(), reference.ravel())[0, 1])
        agrees = difference <= FLOAT_TOLERANCE if CONTESTANTS[name].precision == "fp32" else same >= SAME_LABEL
        measure = "same_label" if classes else "correlation"
        checks[name] = {"agrees": agrees, "logit_difference": float(f"{difference:.3g}"), measure: round(same, 4)}
        tell(f"{name}: logits within {difference:.2g} of torch's, {measure} {same:.1%}")
        if not agrees:
            _drop(workers, checks, name, RuntimeError("its logits differ from torch's"))
    for name in list(workers):
        try:
            checks[name]["idle_share_of_a_core"] = round(workers[name].idle_share(_IDLE_SECONDS), 4)
        except RuntimeError as error:
            _drop(workers, checks, name, error)


def measure(
    workers: dict[str, Worker],
    checks: Checks,
    task: Task,
    texts: Sequence[Text],
    lengths: Sequence[int],
    rounds: tuple[int, int],
    seconds: float,
    *,
    pooled: bool = True,
) -> list[Row]:
    """Time a cell, and return a row for each contestant that completes it; the others are dropped for good.

    Args:
        workers: the contestants that agree with torch.
        checks: records the reasons of those that fail.
        task: the cell.
        texts: texts of the set, in arrival order.
        lengths: number of tokens of each text.
        rounds: the least and the greatest number of timed passes, which follow one that is not timed.
        seconds: after this time, no round begins beyond the least number.
        pooled: whether rows have one answer; only then the operations of a pass are known, and the share of the
            machine's rate.
    """
    order = np.argsort(lengths, kind="stable") if task.order == "sorted" else range(len(texts))
    cell = Cell(tuple(texts[place] for place in order), task.batch, task.tokenized)
    work = operations(lengths, **_SHAPE)
    times: dict[str, list[float]] = {name: [] for name in workers}
    peaks: list[float] = []
    begin = time.perf_counter()
    for number in range(1 + rounds[1]):
        if number > rounds[0] and time.perf_counter() - begin > seconds:
            break
        names = list(workers)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            try:
                taken = workers[name].seconds(cell)
                if number and name == OURS and pooled:  # the machine's rate at the same time
                    peaks.append(workers[name].int8_peak())
            except RuntimeError as error:
                _drop(workers, checks, name, error)
                continue
            if number:  # in the first pass, engines prepare for new shapes
                times[name].append(taken)
        if not workers:
            return []
    rows = [_row(name, task, times[name], len(texts), sum(lengths)) for name in workers]
    for row in rows:
        if row["contestant"] == OURS and peaks:
            pairs = zip(times[OURS], peaks, strict=True)
            row["operations_per_second"] = round(work / statistics.median(times[OURS]))
            row["int8_peak"] = round(max(peaks))
            row["share_of_peak_beside_it"] = round(statistics.median(work / taken / peak for taken, peak in pairs), 3)
    title = f"{task.texts}, {task.order}, {task.batch}{', tokenized' if task.tokenized else ''}, cores {task.cores}"
    rates = ", ".join(f"{row['contestant']} {row['texts_per_second']:.0f}" for row in rows)
    tell(f"{title}: {rates} texts/s")
    return rows


def _row(name: str, task: Task, times: Sequence[float], texts: int, tokens: int) -> Row:
    median = statistics.median(times)
    return {
        "contestant": name,
        "precision": CONTESTANTS[name].precision,
        "texts": task.texts,
        "order": task.order,
        "batch": task.batch,
        "tokenized": task.tokenized,
        "cores": str(task.cores),
        "texts_per_second": round(texts / median, 1),
        "ms_per_text": round(1000 * median / texts, 4),
        "tokens_per_second": round(tokens / median),
        "rounds": len(times),
        "slowest_over_fastest": round(max(times) / min(times), 2),
    }


def _drop(workers: dict[str, Worker], checks: Checks, name: str, error: RuntimeError) -> None:
    """End a contestant's worker, and record the reason."""
    tell(f"{name}: {error}")
    checks[name] = checks.get(name, {}) | {"agrees": False, "why": str(error)}
    if name in workers:
        workers.pop(name).close()
