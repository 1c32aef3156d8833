"""Who scores: which engine, how many workers, and how many threads each of them has."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from liteft.arguments import require_count
from liteft.bulk.attempts import Attempts, Event
from liteft.bulk.engines.local import here, local
from liteft.bulk.job import Job
from liteft.bulk.storage import in_one_process
from liteft.errors import ConfigError, closest, option
from liteft.runtime.cores import default_threads
from liteft.runtime.scored_kinds import Model

__all__ = ["Crew"]

_ENGINES = ("local", "ray", "spark")


@dataclass(frozen=True)
class Crew:
    """An engine and its workers.

    Attributes:
        engine: "local", "ray" or "spark".
        workers: units that are scored at a time; None for what the cores allow.
        threads: threads of each worker; None divides the cores.
        classifier: the open classifier by which this process scores alone; None without one.
    """

    engine: str
    workers: int | None
    threads: int | None
    classifier: Model | None

    def check(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: one is unknown, or an open classifier is given to workers.
        """
        if self.engine not in _ENGINES:
            raise ConfigError(
                f"engine must be local, ray or spark, got {self.engine!r}.",
                accepted={"engine": ", ".join(_ENGINES)},
                fix=option("engine", closest(str(self.engine), _ENGINES) or "local"),
            )
        for name, value in (("workers", self.workers), ("threads", self.threads)):
            if value is not None:
                require_count(name, value)
        if self.classifier is not None and (self.engine, self.workers, self.threads) != ("local", None, None):
            raise ConfigError(
                "a classifier that is open scores in this process alone.",
                accepted={"engine": "local, without workers and threads"},
                fix="give the artifact's folder instead",
            )

    def of(self, units: int) -> tuple[int, int]:
        """Return workers and threads for so many units; workers 0 leaves their number to the cluster."""
        if self.engine != "local":
            return self.workers or 0, self.threads or 1
        if self.classifier is not None:
            return 1, self.classifier.threads
        cores = default_threads()
        workers = self.workers or max(1, cores // (self.threads or 1))
        workers = max(1, min(workers, units))
        return workers, self.threads or max(1, cores // workers)

    def run(self, job: Job, attempts: Attempts, units: int, paths: list[str]) -> Generator[Event, None, None]:
        """Score the units; ``paths`` of them and of the output must be seen by the workers.

        Raises:
            ConfigError: they are in this process's memory.
            RunError, MissingExtraError: the engine cannot work.
        """
        if self.classifier is not None:
            return here(job, attempts, self.classifier)
        own = next((path for path in paths if in_one_process(path)), None)
        if own is not None:
            raise ConfigError(
                f"{own} is in the memory of this process, which its workers do not see.",
                accepted={"artifact": "an open classifier, which scores in this process"},
                fix="liteft.score(liteft.load(ARTIFACT), ...)",
            )
        workers, threads = self.of(units)
        if self.engine == "local":
            return local(job, attempts, workers=workers, threads=threads)
        if self.engine == "ray":
            from liteft.bulk.engines.ray_tasks import ray_tasks

            return ray_tasks(job, attempts, workers=workers, threads=threads)
        from liteft.bulk.engines.spark_tasks import spark_tasks

        return spark_tasks(job, attempts, workers=workers, threads=threads)
