"""Classify a table inside a Ray Data pipeline of your own, and set the doubtful rows apart for a person to label.

    python examples/ray_pipeline.py runs/reviews/artifact reviews/ out/ --text body --actors 8 --cpus 4

Reads all parquet files of a folder (or s3://... and the like), writes OUT/all and OUT/doubtful. Each actor loads the
model once and computes with the CPUs that Ray gives it; batches go from Arrow to Arrow. With RAY_ADDRESS set it runs on
that cluster, where every node has to see the artifact under the same path; else on this machine. A pipeline that fails
starts again from its first row: `liteft score --engine ray` scores files into files, and resumes.
"""

from __future__ import annotations

import argparse

import pyarrow as arrow
import pyarrow.compute as compute
import ray
import ray.data

import liteft.ray


def doubtful(batch: arrow.Table, *, below: float) -> arrow.Table:
    """Return the rows whose label has a score below ``below``; rows without a text have none."""
    return batch.filter(compute.less(batch["score"], below))


def main() -> None:
    """Read, classify, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact")
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--text", default="text")
    parser.add_argument("--below", type=float, default=0.7)
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=1)
    given = parser.parse_args()

    scored = (
        ray.data.read_parquet(given.source)
        .map_batches(
            liteft.ray.Scorer,
            fn_constructor_args=[given.artifact],
            fn_kwargs={"text": given.text, "on_error": "null"},
            batch_format="pyarrow",
            batch_size=8192,
            num_cpus=given.cpus,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=given.actors),
        )
        .materialize()  # computed once, for both files that are written
    )
    scored.write_parquet(f"{given.out}/all")
    rare = scored.map_batches(doubtful, fn_kwargs={"below": given.below}, batch_format="pyarrow")
    rare.write_parquet(f"{given.out}/doubtful")


if __name__ == "__main__":
    main()
