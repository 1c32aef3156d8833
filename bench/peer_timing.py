"""The contestants of bench/peers.py at work: started, compared with torch, and timed in turns."""

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
from peer_plan import Task
from peer_ratios import OURS, Row, operations
from peer_worker import Cell, Worker

FLOAT_TOLERANCE = 1e-3  # of logits whose spread is 1
SAME_LABEL = 0.9  # of coarser engines: near an untrained boundary some labels flip
_SHAPE = {"layers": 6, "width": 384, "inner": 1536}
_IDLE_SECONDS = 0.5

Checks = dict[str, dict[str, Any]]


@contextlib.contextmanager
def started(models: Path, only: Sequence[str], cores: Cores) -> Iterator[tuple[dict[str, Worker], Checks]]:
    """Yield the contestants' workers, and why others could not be started."""
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


def check(workers: dict[str, Worker], checks: Checks, texts: tuple[str, ...], reference: np.ndarray) -> None:
    """Compare logits with torch's, and end the workers of those that do not agree.

    Floats must be within FLOAT_TOLERANCE; the others must give the same label on most texts. What comes out, and how
    much of a core a waiting worker uses, gets into ``checks``.
    """
    for name in list(workers):
        try:
            logits = workers[name].logits(texts)
        except RuntimeError as error:
            _drop(workers, checks, name, error)
            continue
        difference = float(np.abs(logits - reference).max())
        same = float((logits.argmax(1) == reference.argmax(1)).mean())
        agrees = difference <= FLOAT_TOLERANCE if CONTESTANTS[name].precision == "fp32" else same >= SAME_LABEL
        checks[name] = {"agrees": agrees, "logit_difference": float(f"{difference:.3g}"), "same_label": round(same, 4)}
        tell(f"{name}: logits within {difference:.2g} of torch's, same label on {same:.1%}")
        if not agrees:
            _drop(workers, checks, name, RuntimeError("its logits are not torch's"))
    for name in list(workers):
        try:
            checks[name]["idle_share_of_a_core"] = round(workers[name].idle_share(_IDLE_SECONDS), 4)
        except RuntimeError as error:
            _drop(workers, checks, name, error)


def measure(
    workers: dict[str, Worker],
    checks: Checks,
    task: Task,
    texts: Sequence[str],
    lengths: Sequence[int],
    rounds: tuple[int, int],
    seconds: float,
) -> list[Row]:
    """Return a row for each contestant that gets through a cell; the others are dropped for good.

    Args:
        workers: those that agree.
        checks: gets the reasons of those that fail.
        task: the cell.
        texts: of the set, in arrival order.
        lengths: tokens of each.
        rounds: passes that are timed, at least and at most; a first one is not.
        seconds: no round begins after that time, beyond the least.
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
                if number and name == OURS:  # the machine's rate in the same moment
                    peaks.append(workers[name].int8_peak())
            except RuntimeError as error:
                _drop(workers, checks, name, error)
                continue
            if number:  # the first pass meets shapes that engines prepare for
                times[name].append(taken)
        if not workers:
            return []
    rows = [_row(name, task, times[name], len(texts), sum(lengths)) for name in workers]
    for row in rows:
        if row["contestant"] == OURS:
            pairs = zip(times[OURS], peaks, strict=True)
            row["operations_per_second"] = round(work / statistics.median(times[OURS]))
            row["int8_peak"] = round(max(peaks))
            row["share_of_peak_beside_it"] = round(statistics.median(work / taken / peak for taken, peak in pairs), 3)
    what = f"{task.texts}, {task.order}, {task.batch}{', tokenized' if task.tokenized else ''}, cores {task.cores}"
    rates = ", ".join(f"{row['contestant']} {row['texts_per_second']:.0f}" for row in rows)
    tell(f"{what}: {rates} texts/s")
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
    """End a contestant's part, and keep why."""
    tell(f"{name}: {error}")
    checks[name] = checks.get(name, {}) | {"agrees": False, "why": str(error)}
    if name in workers:
        workers.pop(name).close()
