"""Comparing models by what matters for choosing one: quality, confidence, size, speed.

`compare` takes any mix of runs, model folders and artifacts. `subjects` finds out what each of them is, `gold`
brings labels into one order, `measure` is the process that one model is measured in and `workers` the side that
drives it, `comparison` puts the numbers together, `result` holds and renders them, `picture` draws them (`placing`
finds room for the labels), and `seeds` does the same over several runs of one recipe.

Names are loaded on first use: the measured process imports this package too, and what it does not need
must not count as the model's memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liteft.report.comparison import compare
    from liteft.report.picture import draw
    from liteft.report.result import Comparison, Measured
    from liteft.report.seeds import SeedsTable, seeds_table

__all__ = ["Comparison", "Measured", "SeedsTable", "compare", "draw", "seeds_table"]

_HOMES = {
    "Comparison": "result",
    "Measured": "result",
    "compare": "comparison",
    "draw": "picture",
    "SeedsTable": "seeds",
    "seeds_table": "seeds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
