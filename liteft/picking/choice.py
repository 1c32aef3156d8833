"""Which rows of a pool to label next, from logits and texts: the most doubtful ones that differ, and the surest ones.

*Doubtful*: texts are ranked by doubt. With one label per text it is 1 minus the margin between the two most probable
labels (Scheffer et al. 2001, "Active hidden Markov models for information extraction"; Settles 2009, "Active learning
literature survey", section 3.1), which many improbable labels do not blur as they do the entropy. With several labels
it is the mean entropy of the labels. Where words are judged, it is that of the word with the largest entropy: a mean
would hide one doubtful name in a long text, and a sum would pick long texts. Doubt alone would pick one difficult
passage again and again, so only the first ten times as many are candidates, and from these a farthest-first traversal
picks: always the text with the largest product of its doubt and its distance to those picked before. That is the greedy
rule for k-centre (Gonzalez 1985; Sener and Savarese 2018, arXiv:1708.00489, section 4), weighted with doubt, so that it
does not run after outliers.

*Sure*: of each label the texts with its highest probability, in turns, beginning with the label that is predicted least
often. Where words are judged, a text has the tags of all its words, and is as sure as its least sure word. A person
confirms them at a glance, which is the cheapest way to more texts of a rare label; and where one of them is wrong, the
model has learned something wrong.

Texts that are equal or nearly so to one that is picked or labelled already are left out of both.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from liteft.data import Split
from liteft.data.near_duplicates import bare_text, near_duplicates
from liteft.ragged import Ragged, Rows, values_of
from liteft.tasks import SINGLE_LABEL, Task

__all__ = ["bare_texts", "certainties", "doubtful_rows", "doubts", "margins", "sure_rows"]

_CANDIDATES = 10  # times as many candidates as texts that are picked
_DIMENSIONS = 2048
_GRAM = 4
_CLIPPED = 2000  # letters of a text that its vector is made of


def doubts(logits: Rows, task: Task) -> np.ndarray:
    """Return how doubtful each text is, from 0 to 1: float64 (texts,).

    Args:
        logits: float (texts, labels), of a calibrated model; with a tuned threshold, 0 is the threshold, and texts near
            it are doubtful.
        task: what the labels mean.
    """
    if task.several:
        return np.asarray(task.entropy(logits) / (logits.shape[1] * np.log(2)))
    if isinstance(logits, Ragged):
        return np.asarray(_largest(logits.like(SINGLE_LABEL.entropy(logits.values)), 0.0) / np.log(logits.shape[1]))
    return 1 - margins(logits, task)


def margins(logits: Rows, task: Task) -> np.ndarray:
    """Return the probability of the most probable label minus that of the second: float64 (texts,).

    With several labels per text it is the probability that the least certain label applies minus that it does not,
    without its sign. Where words are judged, it is the smallest margin of a word; 1 for a text without any.
    """
    probabilities = values_of(task.probabilities(logits)).astype(np.float64)
    if task.several:
        return np.asarray(np.abs(2 * probabilities - 1).min(axis=1))
    two = np.sort(probabilities, axis=1)[:, -2:]
    found = np.asarray(two[:, -1] - two[:, 0])
    return -_largest(logits.like(-found), -1.0) if isinstance(logits, Ragged) else found


def certainties(logits: Rows, task: Task) -> np.ndarray:
    """Return the probability of each label for each text: float (texts, labels).

    Where words are judged, all labels of a text have that of the tag of its least sure word; 1 for a text without any.
    """
    probabilities = task.probabilities(logits)
    if not isinstance(probabilities, Ragged):
        return np.asarray(probabilities)
    decided = task.decide(logits).values
    of_tags = probabilities.values[np.arange(len(decided)), decided]
    least = -_largest(probabilities.like(-of_tags), -1.0)
    return np.repeat(least[:, None], logits.shape[1], axis=1)


def _largest(values: Ragged, least: float) -> np.ndarray:
    """Return the largest value of each row, float64 (texts,); ``least`` for a row without any."""
    found = np.full(len(values), least)
    first = values.offsets[:-1][values.lengths > 0]
    found[values.lengths > 0] = np.maximum.reduceat(values.values, first) if len(first) else 0
    return found


def bare_texts(split: Split) -> list[str]:
    """Return the texts, or pairs, as they are compared: without case, punctuation and white space."""
    pairs = [None] * len(split) if split.pairs is None else split.pairs
    return [bare_text(text, pair) for text, pair in zip(split.texts, pairs, strict=True)]


def doubtful_rows(bare: Sequence[str], logits: Rows, task: Task, count: int, labelled: Sequence[str]) -> list[int]:
    """Return the rows of doubtful texts that differ from each other, in the order in which they were picked.

    Args:
        bare: the texts of the pool, as ``bare_texts`` returns them.
        logits: of the pool, float (texts, labels).
        task: what the labels mean.
        count: how many rows, at most.
        labelled: texts that have labels already, as ``bare_texts`` returns them.
    """
    doubt = doubts(logits, task)
    rows = _unlike(np.argsort(-doubt, kind="stable"), bare, labelled, _CANDIDATES * count)
    vectors = np.hstack([_hashed([bare[row] for row in rows]), _distributions(logits[rows], task)])
    left, distance = np.ones(len(rows), dtype=bool), np.ones(len(rows))
    picked: list[int] = []
    while left.any() and len(picked) < count:
        best = int(np.argmax(np.where(left, doubt[rows] * distance, -1.0)))
        picked.append(int(rows[best]))
        distance = np.minimum(distance, np.clip(1 - vectors @ vectors[best] / 2, 0, 1))
        left[best] = False
        others = np.flatnonzero(left)
        alike = near_duplicates([bare[row] for row in rows[others].tolist()], [bare[rows[best]]])
        left[others[alike >= 0]] = False
    return picked


def sure_rows(
    bare: Sequence[str], logits: Rows, task: Task, count: int, labelled: Sequence[str]
) -> list[tuple[int, int]]:
    """Return rows of which the model is surest and the label of each, spread over the labels.

    Args:
        bare, logits, task, count: as for ``doubtful_rows``.
        labelled: texts to leave out, as ``bare_texts`` returns them.
    """
    probabilities = certainties(logits, task)
    predicted = task.present(task.decide(logits), logits.shape[1])
    ranked = []
    for label in np.argsort(predicted.sum(axis=0), kind="stable").tolist():
        rows = np.flatnonzero(predicted[:, label])
        order = rows[np.argsort(-probabilities[rows, label], kind="stable")]
        ranked.append([(int(row), label) for row in order[: _CANDIDATES * count].tolist()])
    turns = [place for turn in zip_longest(*ranked) for place in turn if place is not None]
    label_of: dict[int, int] = {}
    for row, label in turns:
        label_of.setdefault(row, label)
    rows = _unlike(np.array(list(label_of), dtype=np.int64), bare, labelled, _CANDIDATES * count)
    picked: list[int] = []
    for row in rows.tolist():
        if len(picked) == count:
            break
        if near_duplicates([bare[row]], [bare[other] for other in picked])[0] < 0:
            picked.append(row)
    return [(row, label_of[row]) for row in picked]


def _unlike(order: np.ndarray, bare: Sequence[str], labelled: Sequence[str], most: int) -> np.ndarray:
    """Return the first rows of an order that repeat no labelled text, and of equal texts the first: int64 (rows,)."""
    seen = {*labelled, ""}
    rows: list[int] = []
    for row in order.tolist():
        if len(rows) == most:
            break
        if bare[row] not in seen:
            seen.add(bare[row])
            rows.append(row)
    found = np.array(rows, dtype=np.int64)
    return found[near_duplicates([bare[row] for row in rows], labelled) < 0]


def _hashed(bare: Sequence[str]) -> np.ndarray:
    """Return vectors of length 1 of the texts' hashed character n-grams: float32 (texts, 2048).

    Source: Weinberger et al. 2009, "Feature hashing for large scale multitask learning", arXiv:0902.2206.
    """
    vectors = np.zeros((len(bare), _DIMENSIONS), dtype=np.float32)
    for vector, text in zip(vectors, bare, strict=True):
        text = text[:_CLIPPED]
        grams = {text[start : start + _GRAM] for start in range(max(1, len(text) - _GRAM + 1))}
        for gram in grams:
            number = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
            vector[number % _DIMENSIONS] += 1 if number >> 31 else -1
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1))


def _distributions(logits: Rows, task: Task) -> np.ndarray:
    """Return the square roots of the predicted probabilities, vectors of length 1: float32 (texts, outcomes).

    The product of two of them is the Bhattacharyya coefficient of the distributions. That of a text's words is the mean
    of theirs.
    """
    if isinstance(logits, Ragged):
        return np.asarray(np.sqrt(_means(task.probabilities(logits))))
    probabilities = np.asarray(task.probabilities(logits), dtype=np.float32)
    if task.several:
        probabilities = np.hstack([probabilities, 1 - probabilities]) / logits.shape[1]
    return np.sqrt(np.maximum(probabilities, 0))


def _means(values: Ragged) -> np.ndarray:
    """Return the mean of each row's entries, float32 (texts, labels); 0 for a row without any."""
    sums = np.zeros(values.shape, dtype=np.float32)
    np.add.at(sums, values.row_numbers, values.values)
    return np.asarray(sums / np.maximum(values.lengths, 1)[:, None], dtype=np.float32)
