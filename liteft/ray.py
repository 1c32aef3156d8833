"""A model in a Ray Data pipeline of your own: ``map_batches(liteft.ray.Scorer, ...)``.

``liteft.score(..., engine="ray")`` needs no pipeline: it scores files into files, and resumes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from liteft.bulk.engines.ray_tasks import require_ray
from liteft.bulk.tables import Adding
from liteft.errors import ConfigError
from liteft.runtime.classifier import OnError, load
from liteft.runtime.row_formats import require_pyarrow

__all__ = ["Scorer"]


class Scorer:
    """Adds predictions to the batches of a Ray Dataset; an actor loads the model once.

        import ray, liteft.ray
        ray.data.read_parquet("s3://lake/reviews/").map_batches(
            liteft.ray.Scorer, fn_constructor_args=["runs/reviews/artifact"], fn_kwargs={"text": "body"},
            batch_format="pyarrow", batch_size=8192, num_cpus=4,
            compute=ray.data.ActorPoolStrategy(min_size=4, max_size=64),
        ).write_parquet("s3://lake/scored/")

    Args:
        artifact: the artifact's folder, which each actor has to see.
        threads: threads of the model; None for the CPUs that Ray gave this actor (``num_cpus``), and 1 outside of Ray,
            never all of the node's.
        device, backend, engine_precision, trust: as in ``load``.

    Raises:
        ArtifactError, ConfigError, DeviceError, MissingExtraError: as in ``load``.
    """

    def __init__(
        self,
        artifact: str | os.PathLike[str],
        *,
        threads: int | None = None,
        device: str = "auto",
        backend: str = "auto",
        engine_precision: str | None = None,
        trust: bool = False,
    ) -> None:
        self._classifier = load(
            artifact,
            threads=threads or _own_cpus(),
            device=device,
            backend=backend,
            engine_precision=engine_precision,
            trust=trust,
        )

    def __call__(
        self,
        batch: Any,
        *,
        text: str | None = None,
        pair: str | None = None,
        keep: Sequence[str] | None = None,
        prefix: str = "",
        top_k: int | None = None,
        threshold: float | Sequence[float] | None = None,
        on_error: OnError = "raise",
    ) -> Any:
        """Return a batch with the columns that ``score`` adds.

        Args:
            batch: a pyarrow table (``batch_format="pyarrow"``).
            text, pair, keep, prefix, top_k, threshold, on_error: as in ``liteft.score``.

        Raises:
            DataError: a column is missing, or a row has no usable text and ``on_error`` is "raise".
            ConfigError: the batch is not a pyarrow table, or a setting does not fit the model.
        """
        if not isinstance(batch, require_pyarrow("liteft.ray").Table):
            raise ConfigError(
                f"the batch is a value of type {type(batch).__name__}.",
                accepted={"batch": "a pyarrow.Table"},
                fix='map_batches(..., batch_format="pyarrow")',
            )
        adding = Adding(text, pair, keep, prefix, top_k, threshold, on_error)
        scorer = adding.scorer(self._classifier, batch.column_names)
        scorer.schema(batch.schema)  # refuses columns that would be overwritten
        return scorer.score(batch, lambda row: f"row {row:,} of the batch")


def _own_cpus() -> int:
    """Return the number of CPUs that Ray gave this actor or task; 1 outside of one."""
    ray = require_ray()
    if not ray.is_initialized() or ray.get_runtime_context().get_task_id() is None:
        return 1
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
