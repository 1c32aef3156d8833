"""``score`` and ``plan_score``: tables of any size, in units, by processes of this machine, by Ray or by Spark."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from liteft.arguments import require_count, require_known, require_list
from liteft.bulk.attempts import Attempts
from liteft.bulk.crew import Crew
from liteft.bulk.estimating import measured_rate
from liteft.bulk.existing import finished, to_do
from liteft.bulk.plan import UNIT_BYTES, UNIT_ROWS
from liteft.bulk.preparing import Asked, Prepared, prepare
from liteft.bulk.results import Planned, Scored, ScoreProgress, Tally
from liteft.bulk.storage import Target, is_url, plain_path
from liteft.errors import ConfigError, Hint, RunError, option
from liteft.locks import one_writer
from liteft.runtime.classifier import OnError
from liteft.runtime.scored_blocks import Counts
from liteft.runtime.scored_kinds import Model, opened_model

__all__ = ["plan_score", "score"]

Engine = Literal["local", "ray", "spark"]
_LOCK = ".liteft-score.lock"
_FAILED = "_failed.json"


def score(
    artifact: str | os.PathLike[str] | Model,
    inputs: Any,
    out: str | os.PathLike[str],
    *,
    text: str | None = None,
    pair: str | None = None,
    keep: Sequence[str] | None = None,
    prefix: str = "",
    top_k: int | None = None,
    threshold: float | Sequence[float] | None = None,
    on_error: OnError = "raise",
    encoding: str | None = None,
    delimiter: str | None = None,
    engine: Engine = "local",
    workers: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    backend: str = "auto",
    engine_precision: str | None = None,
    trust: bool = False,
    unit_bytes: int = UNIT_BYTES,
    unit_rows: int = UNIT_ROWS,
    overwrite: bool = False,
    progress: Callable[[ScoreProgress], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Scored:
    """Score tables of any size: each unit of them becomes a Parquet file in a folder.

    The parts are the only checkpoint: repeating the call scores the units that have none. A unit's part has the same
    bytes whatever engine made it, with however many workers, and after whatever kills. Its rows have the order of the
    input, the columns that are kept, and those that ``predict_file`` adds.

    Args:
        artifact: the artifact's folder; or a classifier, which stays open, and by which this process scores alone.
        inputs: Parquet, csv, tsv, jsonl, or any other file that ``predict_file`` takes: a path, a folder, a pattern
            such as "data/*.parquet", an fsspec URL such as "s3://lake/reviews/", or a list of these. All files have the
            columns and types of the first.
        out: folder or URL of the parts.
        text, pair, prefix, top_k, threshold, encoding, delimiter: as in ``predict_file``.
        keep: the columns of the input to keep; None for all.
        on_error: "raise" sets a unit aside that has a row without a usable text; "null" writes nulls for such rows.
        engine: "local" for processes of this machine, "ray" for a Ray cluster, or "spark" for a Spark cluster.
        workers: units that are scored at a time; None for what the cores allow.
        threads: threads of each worker; None divides this machine's cores among the workers, and is 1 in clusters,
            whose workers do not know what is theirs.
        device, backend, engine_precision, trust: as in ``load``. What they mean on this machine holds for all workers.
        unit_bytes: about the most bytes of a unit.
        unit_rows: about the most rows of a unit.
        overwrite: remove parts in ``out`` that are of other inputs, artifacts or settings.
        progress: called with a ScoreProgress, at most every half second and at the end.
        tell: called with a line of text that names the columns that are read.

    Returns:
        What was done. ``failed`` has the units that failed three times, or whose rows or file cannot be read, with
        error and row; the others are finished. ``_failed.json`` in ``out`` lists them, too.

    Raises:
        DataError: no input can be read, or the first lacks a column.
        ConfigError: a setting is unknown or does not fit the model, or the output is among the inputs.
        RunError: the output has parts of something else, cannot be written, or is being written by another process.
        ArtifactError, DeviceError, MissingExtraError: as in ``load``, or the engine's package is not installed.
    """
    started = time.perf_counter()
    scoring = {"prefix": prefix, "top_k": top_k, "threshold": threshold, "on_error": on_error}
    asked = _asked(inputs, out, text, pair, keep, scoring, encoding, delimiter, unit_bytes, unit_rows)
    crew = Crew(engine, workers, threads, artifact if isinstance(artifact, Model) else None)
    crew.check()
    loading: dict[str, Any] = {
        "device": device,
        "backend": backend,
        "engine_precision": engine_precision,
        "trust": trust,
    }
    with opened_model(artifact, threads=threads, **loading) as classifier:
        prepared = _prepared(asked, classifier, loading, tell)
    target = Target(prepared.job.out)
    with _alone(target):
        done, units = to_do(prepared, target, overwrite=overwrite)
        tally = Tally(units, len(prepared.units), progress)
        tally.failed += prepared.failed
        if units:
            paths = [target.path, *(unit.path for unit in units)]
            with contextlib.closing(crew.run(prepared.job, Attempts(units), len(units), paths)) as events:
                for event in events:
                    if event.failure is not None and event.failure.full:
                        raise RunError(
                            f"{target.path} cannot be written: {event.failure.error.splitlines()[0].rstrip('.')}.",
                            accepted={"parts that are saved": f"{len(done) + tally.parts:,}"},
                            fix=["free some space", Hint("the same call, to go on", "the same command, to go on")],
                        )
                    tally.add(event)
        tally.tell()
        _note_failed(target, tally)
    return _result(prepared, tally, done, time.perf_counter() - started)


def plan_score(
    artifact: str | os.PathLike[str] | Model,
    inputs: Any,
    out: str | os.PathLike[str],
    *,
    seconds: float = 10.0,
    engine: Engine = "local",
    workers: int | None = None,
    threads: int | None = None,
    tell: Callable[[str], None] | None = None,
    **settings: Any,
) -> Planned:
    """Return what ``score`` would do: units, bytes, and the time that it would take. Nothing is written.

    Args:
        artifact, inputs, out, engine, workers, threads, tell: as in ``score``.
        seconds: about how long to measure on rows of some units; 0 estimates no time.
        settings: the other arguments of ``score``.

    Raises:
        DataError, ConfigError, ArtifactError, DeviceError, MissingExtraError: as in ``score``.
    """
    scoring: dict[str, Any] = {"prefix": "", "top_k": None, "threshold": None, "on_error": "raise"}
    loading: dict[str, Any] = {"device": "auto", "backend": "auto", "engine_precision": None, "trust": False}
    reading: dict[str, Any] = {"text": None, "pair": None, "keep": None, "encoding": None, "delimiter": None}
    reading |= {"unit_bytes": UNIT_BYTES, "unit_rows": UNIT_ROWS}
    require_known(settings, [*scoring, *loading, *reading], call="plan_score")
    for group in (scoring, loading, reading):
        group.update({name: settings[name] for name in group if name in settings})
    asked = _asked(inputs, out, scoring=scoring, **reading)
    crew = Crew(engine, workers, threads, artifact if isinstance(artifact, Model) else None)
    crew.check()
    with opened_model(artifact, threads=threads, **loading) as classifier:
        prepared = _prepared(asked, classifier, loading, tell)
    wanted = {prepared.job.identity.name(unit): unit for unit in prepared.units}
    done = finished(prepared.job, Target(prepared.job.out), wanted)
    left = [unit for name, unit in wanted.items() if name not in done]
    workers, threads = crew.of(len(left))
    rate, sample = None, 0
    if left and seconds > 0:
        own = None if isinstance(artifact, Model) else threads
        with opened_model(artifact, threads=own, **loading) as classifier:
            rate, sample = measured_rate(prepared.job, left, classifier, seconds)
    rows = [count for unit, count in zip(prepared.units, prepared.expected, strict=True) if unit in left]
    known = rate is not None and all(count is not None for count in rows)
    return Planned(
        out=prepared.job.out,
        units=prepared.units,
        finished=len(done),
        failed=prepared.failed,
        workers=workers,
        threads=threads,
        rows_per_second=rate,
        sample=sample,
        hours=sum(count or 0 for count in rows) / (rate or 1) / max(1, workers) / 3600 if known else None,
    )


def _asked(
    inputs: Any,
    out: str | os.PathLike[str],
    text: str | None,
    pair: str | None,
    keep: Sequence[str] | None,
    scoring: dict[str, Any],
    encoding: str | None,
    delimiter: str | None,
    unit_bytes: int,
    unit_rows: int,
) -> Asked:
    """Return what the caller asks for, checked as far as that needs no file."""
    require_list("keep", keep)
    require_count("unit_bytes", unit_bytes)
    require_count("unit_rows", unit_rows)
    if not isinstance(out, str | os.PathLike) or not os.fspath(out):
        raise ConfigError(f"out must be a folder or URL, got {out!r}.", fix=option("out", "FOLDER"))
    return Asked(inputs, plain_path(out), text, pair, keep, scoring, encoding, delimiter, unit_bytes, unit_rows)


def _prepared(asked: Asked, classifier: Model, loading: dict[str, Any], tell: Callable[[str], None] | None) -> Prepared:
    """Return job and plan; the workers load the artifact as it was loaded here."""
    prepared = prepare(asked, classifier, tell)
    here = {**loading, "device": classifier.device, "backend": classifier.backend}
    return replace(prepared, job=replace(prepared.job, loading=here))


@contextlib.contextmanager
def _alone(target: Target) -> Iterator[None]:
    """Keep other processes of this machine from the output, and remove what killed ones were writing."""
    if is_url(target.path):
        yield
        return
    folder = Path(target.path)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is not a folder.", fix=option("out", "FOLDER"))
    with one_writer(folder / _LOCK, target=folder):
        target.remove_unfinished()
        try:
            yield
        finally:
            target.remove_unfinished()  # of workers that died


def _note_failed(target: Target, tally: Tally) -> None:
    """Write the list of units that failed, for people; nothing reads it."""
    if tally.failed:
        with target.writing(_FAILED) as path:
            content = [{"unit": str(each.unit), "row": each.row, "error": each.error} for each in tally.failed]
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    elif _FAILED in target.names():
        target.remove(_FAILED)


def _result(prepared: Prepared, tally: Tally, done: dict[str, Counts], seconds: float) -> Scored:
    resumed = sum(counts.rows for counts in done.values())
    for counts in done.values():
        tally.counts.add(counts)
    counts = tally.counts
    return Scored(
        out=prepared.job.out,
        units=len(prepared.units) + len(prepared.failed),
        rows=counts.rows,
        resumed=resumed,
        refused=counts.refused,
        truncated=counts.truncated,
        empty=counts.empty,
        repeated=counts.repeated,
        failed=tuple(tally.failed),
        seconds=seconds,
    )
