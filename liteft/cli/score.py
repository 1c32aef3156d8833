"""``liteft score``: tables of any size, in parts that resume, on this machine or on a cluster."""

from __future__ import annotations

from typing import Any

import typer

from liteft.cli import groups
from liteft.cli.flags.answers import (
    ArtifactFolder,
    Keep,
    OnError,
    Plan,
    Prefix,
    Tables,
    Threshold,
    TopK,
    UnitBytes,
    UnitRows,
    Workers,
)
from liteft.cli.flags.data import Delimiter, Encoding, Pair, Text
from liteft.cli.flags.machine import Backend, Device, Engine, EnginePrecision, Out, Overwrite, Threads, Trust

EXAMPLES = (
    "liteft score runs/reviews 'lake/reviews/*.parquet' --out lake/scored --text body --keep id",
    "liteft score runs/reviews s3://lake/reviews/ --out s3://lake/scored --engine ray --workers 64 --threads 4",
)

_SET_ASIDE = 3


@groups.flat
def score(
    *,
    artifact: ArtifactFolder,
    inputs: Tables,
    out: Out,
    text: Text = None,
    pair: Pair = None,
    keep: Keep = None,
    top_k: TopK = None,
    threshold: Threshold = None,
    on_error: OnError = "raise",
    prefix: Prefix = "",
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    engine: Engine = "local",
    workers: Workers = None,
    threads: Threads = None,
    unit_bytes: UnitBytes = None,
    unit_rows: UnitRows = None,
    plan: Plan = False,
    device: Device = "auto",
    backend: Backend = "auto",
    engine_precision: EnginePrecision = None,
    trust: Trust = False,
    overwrite: Overwrite = False,
    output: groups.Output,
) -> None:
    """Score tables of any size: one file or thousands, on this machine, Ray or Spark.

    The tables are cut into units of about 256 MB or a million rows, and each becomes a Parquet file in --out. These
    parts are the only checkpoint: the same command scores the units that have none. Killed and resumed, by whatever
    workers, the parts have the same bytes.

    A unit that fails three times, or has a row without a usable text and no --on-error null, is set aside; the others
    are finished, and the exit status is 3.
    """
    import liteft

    console = output.console()
    settings: dict[str, Any] = {"text": text, "pair": pair, "encoding": encoding, "delimiter": delimiter}
    settings |= {"keep": None if keep is None else [name.strip() for name in keep.split(",") if name.strip()]}
    settings |= {"prefix": prefix, "top_k": top_k, "threshold": threshold, "on_error": groups.error_kind(on_error)}
    settings |= {"engine": engine, "workers": workers, "threads": threads}
    settings |= {"device": device, "backend": backend, "engine_precision": engine_precision, "trust": trust}
    cutting = {"unit_bytes": unit_bytes, "unit_rows": unit_rows}
    settings |= {name: value for name, value in cutting.items() if value is not None}
    artifact = console.artifact_of(artifact)
    if plan:
        planned = liteft.plan_score(artifact, inputs, out, tell=console.progress, **settings)
        console.result(planned.render(), planned.to_dict())
        return
    settings |= {"overwrite": overwrite, "progress": console.progress}
    done = liteft.score(artifact, inputs, out, tell=console.progress, **settings)
    console.result(done.render(), done.to_dict())
    if done.failed:
        raise typer.Exit(_SET_ASIDE)
