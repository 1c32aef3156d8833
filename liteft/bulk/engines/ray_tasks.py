"""The engine of a Ray cluster: a task for each unit, which claims its threads as CPUs.

Tasks and not Ray Data: a unit is all that a task gets, and what it gives is a file. The artifact travels through the
object store once, so the workers need not see its folder; they need to see the input and the output. A worker process
keeps the model for its next unit. A worker that dies costs the unit that it was scoring, which another one takes.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

from liteft.bulk.attempts import Attempts, Event
from liteft.bulk.engines.remote import packed, score_remotely
from liteft.bulk.job import Failure, Job, failure_of
from liteft.bulk.plan import Unit
from liteft.errors import MissingExtraError
from liteft.installation import install_hint
from liteft.privacy import inherited
from liteft.runtime.scored_blocks import Counts

__all__ = ["ray_tasks", "require_ray"]

_POLL_SECONDS = 1.0


def ray_tasks(job: Job, attempts: Attempts, *, workers: int, threads: int) -> Generator[Event, None, None]:
    """Score the units in tasks of so many CPUs each.

    A cluster that this process is connected to is used; otherwise that of RAY_ADDRESS; otherwise one is started on
    this machine, and stopped at the end.

    Args:
        job: the job.
        attempts: its units.
        workers: most tasks at a time; 0 for as many as the cluster has CPUs for.
        threads: threads of each task.

    Raises:
        MissingExtraError: ray is not installed.
    """
    ray = require_ray()
    started = not ray.is_initialized()
    if started:
        own: dict[str, Any] = {}
        if not os.environ.get("RAY_ADDRESS"):
            own = {"address": "local", "num_cpus": workers * threads if workers else None}
        ray.init(log_to_driver=False, include_dashboard=False, **own)
    running: dict[Any, Unit] = {}
    try:
        task = ray.remote(num_cpus=threads, max_retries=0, runtime_env={"env_vars": inherited()})(score_remotely)
        given, artifact = ray.put(job.to_dict()), ray.put(packed(job))
        while True:
            most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
            while len(running) < most and (unit := attempts.take()) is not None:
                running[task.remote(given, artifact, unit.to_dict(), threads)] = unit
            if not running:
                return
            for ended in ray.wait(list(running), timeout=_POLL_SECONDS)[0]:
                unit = running.pop(ended)
                yield attempts.ended(unit, _result(ray, ended, unit))
    finally:
        for left in running:
            ray.cancel(left, force=True)
        if started:
            ray.shutdown()


def _result(ray: Any, ended: Any, unit: Unit) -> Counts | Failure:
    """Return what became of a unit whose task has ended."""
    try:
        result: dict[str, Any] = ray.get(ended)
    except ray.exceptions.RayError as error:  # the worker died, was preempted or ran out of memory
        return failure_of(unit, error)
    return Counts(**result["counts"]) if "counts" in result else Failure.of(result["failure"])


def require_ray() -> Any:
    """Return ray.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("this needs ray, which is not installed.", fix=install_hint("ray")) from None
    return ray
