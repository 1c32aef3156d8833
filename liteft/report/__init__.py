"""Comparison of models by accuracy, confidence intervals, size and speed.

`compare` takes any mix of runs, model folders and artifacts. `subjects` detects what each of them is, `gold` brings
labels into one order, `measure` is the process that one model is measured in and `workers` controls these processes,
`comparison` computes the numbers, `result` renders them, `picture` draws them (`placing` positions the labels),
`diagnosis` finds where a model is wrong, `diagnosis_pictures` draws that, and
`seeds` compares the runs of one recipe over several seeds.

Public names are imported on first use: the measured process imports this package too, and modules that it does not
need must not count as the model's memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liteft.report.comparison import compare
    from liteft.report.diagnosis import Diagnosis
    from liteft.report.diagnosis_pictures import draw_diagnoses
    from liteft.report.picture import draw
    from liteft.report.result import Comparison, Measured
    from liteft.report.seeds import SeedsTable, seeds_table

__all__ = ["Comparison", "Diagnosis", "Measured", "SeedsTable", "compare", "draw", "draw_diagnoses", "seeds_table"]

_HOMES = {
    "Comparison": "result",
    "Measured": "result",
    "compare": "comparison",
    "Diagnosis": "diagnosis",
    "draw": "picture",
    "draw_diagnoses": "diagnosis_pictures",
    "SeedsTable": "seeds",
    "seeds_table": "seeds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
