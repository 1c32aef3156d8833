"""Reads comparisons and tables of seeds back from JSON, so that a stored result prints as it did when it was measured.

This is the inverse of their ``to_dict``, as far as their tables need it: the models' labels and their paths on the
machine that measured are not stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liteft.metrics import Estimate, PairedTest
from liteft.report.floor_rows import MeasuredFloor
from liteft.report.result import Comparison, Measured
from liteft.report.seeds import SeedsDifference, SeedsRow, SeedsTable
from liteft.report.subjects import Subject
from liteft.report.workers import Speed
from liteft.tasks import task_named

__all__ = ["stored_comparison", "stored_seeds"]

Results = Mapping[str, Any]


def stored_seeds(content: Results) -> SeedsTable:
    """Return the table from which ``SeedsTable.to_dict`` made this content."""
    return SeedsTable(
        rows=tuple(
            SeedsRow(
                row["kind"],
                tuple(row["seeds"]),
                {name: tuple(measured["values"]) for name, measured in row["metrics"].items()},
            )
            for row in content["rows"]
        ),
        differences=tuple(
            SeedsDifference(
                found["kind"], found["against"], found["metric"], Estimate(found["difference"], *found["interval"])
            )
            for found in content["differences"]
        ),
        task=task_named(content["task"]),
        data=content["data"],
        split=content["split"],
        texts=content["texts"],
        notes=tuple(content["notes"]),
        unit=content.get("unit", "seed"),
    )


def stored_comparison(content: Results) -> Comparison:
    """Return a comparison with everything that its tables show."""
    kept = ("data", "split", "texts", "majority", "threads", "device", "batch_size", "machine")
    return Comparison(
        models=tuple(_measured(model, content["task"]) for model in content["models"]),
        task=task_named(content["task"]),
        notes=tuple(content["notes"]),
        floors=tuple(_floor(floor) for floor in content.get("floors", ())),
        unbeaten=tuple(content.get("unbeaten", ())),
        **{name: content[name] for name in kept},
    )


def _floor(floor: Results) -> MeasuredFloor:
    difference = floor["micro_f1_difference"]
    return MeasuredFloor(
        name=floor["name"],
        scores=floor["metrics"],
        intervals={name: (low, high) for name, (low, high) in floor["intervals"].items()},
        paired=PairedTest(**floor["against_first"]),
        f1_difference=None if difference is None else (difference[0], difference[1]),
        agreement=floor["agreement_with_first"],
    )


def _measured(model: Results, task: Any) -> Measured:
    subject = Subject(
        **{name: model[name] for name in ("name", "form", "engine", "parameters")},
        path=Path(model["path"]),
        folder=Path(model["path"]),
        task=task_named(task),
        labels=(),
        paired=False,
        model_bytes=round(model["model_mb"] * 1e6),
        folder_bytes=round(model["folder_mb"] * 1e6),
    )
    timing, paired, difference = model["timing"], model["against_first"], model["micro_f1_difference"]
    peak = model["peak_memory_mb"]
    return Measured(
        subject=subject,
        scores=model["metrics"],
        intervals={name: (low, high) for name, (low, high) in model["intervals"].items()},
        paired=None if paired is None else PairedTest(**paired),
        f1_difference=None if difference is None else (difference[0], difference[1]),
        agreement=model["agreement_with_first"],
        speed=None if timing is None else Speed(**{**timing, "rounds": tuple(map(tuple, timing["rounds"]))}),
        peak_memory_bytes=None if peak is None else round(peak * 1e6),
        versions=model["versions"],
    )
