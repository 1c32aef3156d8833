"""Calibration of static int8: finds the range of each matmul's input from real texts.

The float graph runs on the texts, with the inputs of its matmuls as extra outputs. Only texts of equal length run
together, so that nothing is padded: activations at padding do not belong to any text and would widen the ranges. There
are two passes, the first for the lowest and highest value of each tensor, the second for a histogram between them; so a
tensor takes a few kilobytes of memory, however many texts there are.

The range is then narrowed: the outermost values are clipped so that the others get finer steps. Two methods choose it:

- "percentile" keeps all but a fixed share of the values at each end;
- "mse" takes the range with the smallest mean squared error, counting both clipping and rounding.

bench/static_int8.py measures which is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from liteft.encoded import Encoded
from liteft.errors import DataError, Hint, option
from liteft.exporting.sessions import new_session, token_batches
from liteft.form import Calibration
from liteft.schemes import Range

__all__ = [
    "FEWEST_TEXTS",
    "MOST_TEXTS",
    "PERCENTILE",
    "Histogram",
    "calibrate_ranges",
    "mse_range",
    "observe",
    "percentile_range",
]

PERCENTILE = 99.99
MOST_TEXTS = 1000
FEWEST_TEXTS = 8
_BINS = 4096
_CANDIDATES = 40


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often an activation's values fall into bins of equal width.

    Attributes:
        counts: values in each bin, int64, shape (bins,).
        low, high: the lowest and the highest value, low <= 0 <= high and low < high.
    """

    counts: np.ndarray
    low: float
    high: float

    def cut(self, method: Calibration, percentile: float = PERCENTILE) -> Range:
        """Return the range that a method chooses; ``percentile`` applies only to the method of that name."""
        if method == "mse":
            return mse_range(self.counts, self.low, self.high)
        return percentile_range(self.counts, self.low, self.high, percentile)


def calibrate_ranges(
    model: onnx.ModelProto, inputs: Mapping[str, str], encoded: Encoded, *, method: Calibration
) -> dict[str, Range]:
    """Return the calibrated range of each matmul's input, by the matmul's name.

    Args:
        model: the float32 graph in standard nodes.
        inputs: name of each matmul -> the value that is its input.
        encoded: real texts, tokenized.
        method: how a range is chosen from the values seen.

    Raises:
        DataError: fewer than 8 texts.
    """
    return {product: seen.cut(method) for product, seen in observe(model, inputs, encoded).items()}


def observe(model: onnx.ModelProto, inputs: Mapping[str, str], encoded: Encoded) -> dict[str, Histogram]:
    """Return a histogram of each matmul's input, by the matmul's name.

    Arguments and errors are those of `calibrate_ranges`.
    """
    if len(encoded) < FEWEST_TEXTS:
        raise DataError(
            f"{len(encoded)} texts are too few to calibrate on.",
            accepted={"texts": f"at least {FEWEST_TEXTS}; 300 to {MOST_TEXTS:,} are good"},
            fix=[
                Hint("give training texts: calibrate=data.train", "give training texts: --data DATA"),
                option("scheme", "per_row", note=", which needs none"),
            ],
        )
    values = sorted(set(inputs.values()))
    ends = dict.fromkeys(values, (0.0, 0.0))  # zero is in every range
    session = _session(model, values)
    for found in _runs(session, values, encoded):
        for value, array in found.items():
            low, high = ends[value]
            ends[value] = (min(low, float(array.min())), max(high, float(array.max())))
    ends = {value: (low, high if low < high else low + 1e-6) for value, (low, high) in ends.items()}
    counts = {value: np.zeros(_BINS, dtype=np.int64) for value in values}
    for found in _runs(session, values, encoded):
        for value, array in found.items():
            counts[value] += np.histogram(array, bins=_BINS, range=ends[value])[0]
    return {product: Histogram(counts[value], *ends[value]) for product, value in inputs.items()}


def percentile_range(counts: np.ndarray, low: float, high: float, percentile: float) -> Range:
    """Return the range that leaves out (100 - percentile)% of the values at each end; it always contains 0.

    Args:
        counts: histogram over bins of equal width from low to high, shape (bins,).
        low, high: its ends, low < high.
        percentile: above 50, up to 100.
    """
    edges = np.linspace(low, high, len(counts) + 1)
    total = np.cumsum(counts)
    cut = (1 - percentile / 100) * total[-1]
    first = int(np.searchsorted(total, cut, side="right"))
    last = int(np.searchsorted(total, total[-1] - cut, side="left"))
    return Range(min(0.0, float(edges[first])), max(0.0, float(edges[min(last, len(counts) - 1) + 1])))


def mse_range(counts: np.ndarray, low: float, high: float) -> Range:
    """Return the range with the smallest mean squared error when it is divided into 255 steps; it always contains 0.

    Each end is tried at 40 places between its value and 95% of the way to zero. A value inside the range has the error
    of rounding, on average a twelfth of the squared step; a value outside has the squared distance to the end.

    Args:
        counts: histogram over bins of equal width from low to high, shape (bins,).
        low, high: its ends, low < high.
    """
    edges = np.linspace(low, high, len(counts) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    shares = 1 - np.linspace(0, 0.95, _CANDIDATES)
    lows, highs = min(low, 0.0) * shares, max(high, 0.0) * shares
    below = np.array([(counts * np.minimum(middles - end, 0) ** 2).sum() for end in lows])
    above = np.array([(counts * np.maximum(middles - end, 0) ** 2).sum() for end in highs])
    steps = (highs[None, :] - lows[:, None]) / 255
    error = below[:, None] + above[None, :] + counts.sum() * steps**2 / 12
    row, column = np.unravel_index(int(error.argmin()), error.shape)
    return Range(float(lows[row]), float(highs[column]))


def _session(model: onnx.ModelProto, values: list[str]) -> Any:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_empty_tensor_value_info(value) for value in values)
    return new_session(watched)


def _runs(session: Any, values: list[str], encoded: Encoded) -> Iterator[dict[str, np.ndarray]]:
    names = {value.name for value in session.get_inputs()}
    for _, feed in token_batches(encoded):
        found = session.run(values, {name: array for name, array in feed.items() if name in names})
        yield dict(zip(values, found, strict=True))
