"""How fast one worker scores, measured on the beginnings of some units."""

from __future__ import annotations

import time
from collections.abc import Sequence

from liteft.bulk.job import Job
from liteft.bulk.plan import Unit
from liteft.bulk.reading import blocks_of
from liteft.runtime.repeats import Repeats
from liteft.runtime.scored_blocks import BlockScorer
from liteft.runtime.scored_kinds import Model, row_scorer

__all__ = ["measured_rate"]

_UNITS = 3
_SLICE = 256


def measured_rate(job: Job, units: Sequence[Unit], classifier: Model, seconds: float) -> tuple[float | None, int]:
    """Return rows per second, reading included, and the number of rows it was measured on; None if there are none.

    Args:
        job: the job.
        units: the units; the first, one in the middle and the last are measured.
        classifier: the model, with the threads of one worker.
        seconds: about how long to measure.
    """
    chosen = list(dict.fromkeys([units[0], units[len(units) // 2], units[-1]]))[:_UNITS]
    settings = {**job.settings, "on_error": "null"}  # a row without a text stops no measurement
    rows, spent = 0, 0.0
    for number, unit in enumerate(chosen):
        scorer = BlockScorer(row_scorer(classifier, **settings), keep=job.kept().names, repeats=Repeats())
        until = seconds * (number + 1) / len(chosen)
        started = time.perf_counter()
        for block in blocks_of(unit, job.kept(), scorer.reads, questions=job.questions):
            for first in range(0, block.rows, _SLICE):
                some = slice(first, first + _SLICE)
                values = None if block.texts is None else {name: each[some] for name, each in block.texts.items()}
                scorer.score(block.table.slice(first, _SLICE), block.place, values)
                if spent + time.perf_counter() - started >= until:
                    break
            else:
                continue
            break
        rows += scorer.counts.rows
        spent += time.perf_counter() - started
    return (rows / spent if rows else None), rows
