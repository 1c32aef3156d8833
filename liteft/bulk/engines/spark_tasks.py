"""The engine of a Spark cluster: a job of one task for each unit, so that one that fails takes no other with it.

The artifact is broadcast, and a Python worker keeps the model for its next unit. Parts are written by the workers
themselves, so only counts come back.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from liteft.bulk.attempts import Attempts, Event
from liteft.bulk.engines.remote import packed, score_remotely
from liteft.bulk.job import Failure, Job, failure_of
from liteft.bulk.plan import Unit
from liteft.errors import MissingExtraError
from liteft.installation import install_hint
from liteft.privacy import inherited
from liteft.runtime.row_formats import require_pyarrow
from liteft.runtime.scored_blocks import Counts

__all__ = ["require_pyspark", "spark_tasks"]


def spark_tasks(job: Job, attempts: Attempts, *, workers: int, threads: int) -> Generator[Event, None, None]:
    """Score the units in Spark tasks; ``spark.task.cpus`` should be the number of threads.

    The active session is used; otherwise one is made, as Spark is configured, and stopped at the end.

    Args:
        job: the job.
        attempts: its units.
        workers: most tasks at a time; 0 for as many as Spark's default parallelism has room for.
        threads: threads of each task.

    Raises:
        MissingExtraError: pyspark is not installed.
    """
    sql = require_pyspark().sql
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    active = sql.SparkSession.getActiveSession()
    session = active or sql.SparkSession.builder.getOrCreate()
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    stopped = threading.Event()
    session.sparkContext.environment.update(inherited())  # of the Python workers
    score = _unit_scorer(job.to_dict(), session.sparkContext.broadcast(packed(job)), threads)

    def work() -> None:
        while not stopped.is_set() and (unit := attempts.take()) is not None:
            events.put(attempts.ended(unit, _result(session, score, unit)))
        events.put(None)

    most = workers or max(1, session.sparkContext.defaultParallelism // threads)
    crew = [threading.Thread(target=work, name="liteft-score", daemon=True) for _ in range(most)]
    try:
        for worker in crew:
            worker.start()
        left = most
        while left:
            event = events.get()
            left -= event is None
            if event is not None:
                yield event
    finally:
        stopped.set()
        if any(worker.is_alive() for worker in crew):
            session.sparkContext.cancelAllJobs()
        if active is None:
            session.stop()


def _result(session: Any, score: Callable[..., Any], unit: Unit) -> Counts | Failure:
    """Return what became of a unit in a job of its own."""
    try:
        one = session.createDataFrame([(json.dumps(unit.to_dict()),)], "unit string").coalesce(1)
        result = json.loads(one.mapInArrow(score, "result string").collect()[0].result)
    except Exception as error:  # py4j's and pyspark's: the worker died, or Spark gave the task up
        return failure_of(unit, error)
    return Counts(**result["counts"]) if "counts" in result else Failure.of(result["failure"])


def _unit_scorer(job: dict[str, Any], artifact: Any, threads: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return what a Python worker does with batches of units: Arrow in, Arrow out."""

    def score(batches: Iterator[Any]) -> Iterator[Any]:
        arrow = require_pyarrow("scoring tables")
        for batch in batches:
            units = map(json.loads, batch.column(0).to_pylist())
            results = [json.dumps(score_remotely(job, artifact.value, unit, threads)) for unit in units]
            yield arrow.RecordBatch.from_arrays([arrow.array(results, arrow.string())], names=["result"])

    return score


def require_pyspark() -> Any:
    """Return pyspark with its module ``sql``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyspark
        import pyspark.sql
    except ImportError:
        raise MissingExtraError("this needs pyspark, which is not installed.", fix=install_hint("spark")) from None
    return pyspark
