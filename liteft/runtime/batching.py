"""Which texts run together: batches within a token budget.

A padding-free engine gets the texts in their order, split where the budget is full. For one that pads, a batch is a
rectangle as wide as its longest text, so all padding of shorter texts is wasted work. Texts are sorted by length and
the sorted sequence is split so that the sum of all rectangles, plus a fixed cost per run, is smallest: an exact
minimum by dynamic programming, not a rule of thumb. The cost is given in tokens.

Measured with onnxruntime 1.32 on two cores and a 3-layer encoder of width 384: a run costs as much as about ten
tokens; the time per token is the same from 256 to 2,048 tokens per batch and a tenth more at 8,192, where the
caches overflow. So large batches gain nothing on a CPU. Padding costs: with SST-2's texts, 32 at a
time in arrival order, half of the computed tokens are padding; sorted within 1,024 texts and split like this,
1.7%.
"""

from __future__ import annotations

import numpy as np

__all__ = ["cut_runs", "plan_batches"]


def cut_runs(lengths: np.ndarray, *, token_budget: int) -> list[slice]:
    """Return runs of texts in their given order, for a padding-free engine.

    Args:
        lengths: int64, shape (texts,), at least 1 each.
        token_budget: maximum tokens of a run; a longer text runs alone.

    Returns:
        Slices of the texts, in order, none of them empty.
    """
    ends = np.cumsum(lengths)
    runs = []
    start = before = 0
    while start < len(lengths):
        stop = max(start + 1, int(np.searchsorted(ends, before + token_budget, side="right")))
        runs.append(slice(start, stop))
        start, before = stop, int(ends[stop - 1])
    return runs


def plan_batches(lengths: np.ndarray, *, token_budget: int, run_price: int) -> list[np.ndarray]:
    """Return the batches of texts with the fewest padded tokens, plus a fixed cost per batch.

    Args:
        lengths: int64, shape (texts,), at least 1 each.
        token_budget: maximum padded tokens of a batch; a longer text runs alone.
        run_price: cost of each batch, in tokens.

    Returns:
        Indices into ``lengths``, one int64 array per batch, the widest batch first (its memory is then large enough for
        all others); every text is in exactly one batch.
    """
    if len(lengths) == 1:
        return [np.zeros(1, dtype=np.int64)]
    order = np.argsort(lengths, kind="stable")
    cuts = _cheapest_cuts(lengths[order], token_budget, run_price)
    return [order[start:stop] for start, stop in reversed(cuts)]


def _cheapest_cuts(ascending: np.ndarray, token_budget: int, run_price: int) -> list[tuple[int, int]]:
    """Return (start, stop) of the cheapest batches of texts sorted by length."""
    texts = len(ascending)
    cost = np.zeros(texts + 1, dtype=np.int64)  # cost[n]: cost of the cheapest way to run the first n texts
    start_of = np.zeros(texts + 1, dtype=np.int64)  # where the last batch of the cheapest way starts
    for stop in range(1, texts + 1):
        width = int(ascending[stop - 1])
        first = max(0, stop - max(1, token_budget // width))
        candidates = cost[first:stop] + width * np.arange(stop - first, 0, -1)
        best = int(np.argmin(candidates))
        cost[stop] = candidates[best] + run_price
        start_of[stop] = first + best
    cuts = []
    stop = texts
    while stop:
        start = int(start_of[stop])
        cuts.append((start, stop))
        stop = start
    return cuts[::-1]
