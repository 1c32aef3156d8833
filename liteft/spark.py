"""A model in Spark: ``df.mapInArrow(score, score.schema(df.schema))``. Arrow in, Arrow out, one model a Python worker.

``liteft.score(..., engine="spark")`` scores files into files instead, and resumes.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from liteft.bulk.engines.remote import kept_model
from liteft.bulk.engines.spark_tasks import require_pyspark
from liteft.bulk.tables import Adding
from liteft.runtime.classifier import OnError
from liteft.runtime.row_formats import require_pyarrow
from liteft.runtime.scored_kinds import Model

__all__ = ["SparkScorer", "scorer"]


def scorer(
    artifact: str | os.PathLike[str],
    *,
    text: str | None = None,
    pair: str | None = None,
    keep: Sequence[str] | None = None,
    prefix: str = "",
    top_k: int | None = None,
    threshold: float | Sequence[float] | None = None,
    on_error: OnError = "raise",
    threads: int = 1,
    device: str = "auto",
    backend: str = "auto",
    engine_precision: str | None = None,
    trust: bool = False,
) -> SparkScorer:
    """Return what ``mapInArrow`` calls to score a DataFrame.

        from liteft.spark import scorer
        score = scorer("/models/reviews", text="body", threads=1)
        df.mapInArrow(score, score.schema(df.schema)).write.parquet("/lake/scored")

    Args:
        artifact: the artifact's folder, which every worker has to see.
        text, pair, keep, prefix, top_k, threshold, on_error: as in ``liteft.score``.
        threads: threads of each worker's model: ``spark.task.cpus``. Spark limits no worker, so there is no default
            that follows from the machine.
        device, backend, engine_precision, trust: as in ``load``.
    """
    loading = {"threads": threads, "device": device, "backend": backend}
    loading |= {"engine_precision": engine_precision, "trust": trust}
    adding = Adding(text, pair, keep, prefix, top_k, threshold, on_error)
    return SparkScorer(os.fspath(artifact), tuple(loading.items()), adding)


@dataclass(frozen=True)
class SparkScorer:
    """Scores the batches of a partition. Made by `scorer`; it travels to the workers, which load the model.

    Attributes:
        artifact: the artifact's folder.
        loading: arguments of ``load``.
        adding: what is added.
    """

    artifact: str
    loading: tuple[tuple[str, Any], ...]
    adding: Adding

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield the batches of a partition with the columns that ``liteft.score`` adds.

        Args:
            batches: pyarrow record batches. A text that several of them have is computed once.

        Raises:
            DataError: a column is missing, or a row has no usable text and ``on_error`` is "raise".
            ConfigError: a setting does not fit the model.
        """
        arrow = require_pyarrow("liteft.spark")
        scoring, first = None, 0
        for batch in batches:
            if scoring is None:
                scoring = self.adding.scorer(self._model(), batch.schema.names, repeats=True)
            table = arrow.Table.from_batches([batch])
            start = first
            first += len(table)
            yield from scoring.score(table, functools.partial(_place, start)).to_batches()

    def schema(self, given: Any) -> Any:
        """Return the schema of the scored DataFrame.

        Args:
            given: the DataFrame's, a pyspark StructType.

        Returns:
            A pyspark StructType: the columns that are kept, and those that are added.

        Raises:
            DataError: a column is missing, or an added one would overwrite one.
        """
        require_pyspark()
        from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

        arrow = to_arrow_schema(given)
        return from_arrow_schema(self.adding.scorer(self._model(), arrow.names).schema(arrow))

    def _model(self) -> Model:
        return kept_model(self.artifact, **dict(self.loading))


def _place(start: int, row: int) -> str:
    return f"row {start + row:,} of a partition"
