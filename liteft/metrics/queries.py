"""Metrics of rankings: how high the best candidates of each query are.

A pair is a query with a candidate; pairs with the same first text are candidates of one query.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["RANKED", "query_metrics"]

RANKED = 10  # candidates that count for NDCG
_FEWEST = 0.5  # of the pairs: with a smaller share the first texts are no queries, some only occur twice


def query_metrics(gold: np.ndarray, found: np.ndarray, queries: Sequence[str]) -> dict[str, np.ndarray]:
    """Return "ndcg_10" and "mrr" of each query, float64 (queries,); empty if the first texts are not queries.

    They are if half of the pairs or more belong to queries with two candidates of different gold scores; only those
    queries count. The gain of a candidate is its gold score, or its distance from the lowest one if that is negative;
    candidates with the same score share their places. MRR takes the first relevant candidate, after irrelevant ones
    with the same score; relevant are gold scores above 0 if there are only 0 and 1, and otherwise above the median of
    all. Queries without a relevant candidate have no part in it.

    Args:
        gold, found: float (pairs,).
        queries: the first text of each pair.

    Source: Järvelin and Kekäläinen 2002, ACM TOIS 20:422; for equal scores, McSherry and Najork 2008, ECIR.
    """
    numbers: dict[str, int] = {}
    query = np.array([numbers.setdefault(text, len(numbers)) for text in queries], dtype=np.int64)
    order = np.argsort(query, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(query, minlength=len(numbers)))[:-1]) if len(order) else []
    rows = [each for each in rows if len(each) > 1 and np.ptp(gold[each]) > 0]
    if sum(map(len, rows)) < max(1, _FEWEST * len(gold)):
        return {}
    gains = gold - min(0.0, float(gold.min()))
    line = 0.0 if np.isin(gold, (0.0, 1.0)).all() else float(np.median(gold))
    reciprocal = [_reciprocal_rank(gold[each] > line, found[each]) for each in rows if (gold[each] > line).any()]
    return {
        "ndcg_10": np.array([_ndcg(gains[each], found[each]) for each in rows]),
        "mrr": np.array(reciprocal, dtype=np.float64),
    }


def _ndcg(gains: np.ndarray, found: np.ndarray) -> float:
    places = np.arange(1, len(gains) + 1)
    discounts = np.where(places <= RANKED, 1 / np.log2(places + 1), 0.0)
    _, group, counts = np.unique(-found, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    sums = np.concatenate([[0.0], np.cumsum(discounts)])
    shared = (sums[ends] - sums[ends - counts]) / counts
    return float(shared[group] @ gains) / float(np.sort(gains)[::-1] @ discounts)


def _reciprocal_rank(relevant: np.ndarray, found: np.ndarray) -> float:
    best = found[relevant].max()
    return 1 / (1 + int((found[~relevant] >= best).sum()))
