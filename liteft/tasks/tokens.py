"""The tokens task: every word of a text has a tag, and tags that begin with B- and I- make spans, such as entities.

Label arrays, decisions and logits are `Ragged`: a row for each text, an entry for each of its words. What a tag means
stands in its name, so the methods that need it are those of a task that is `bound` to the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from liteft.tasks.base import Task

__all__ = ["TOKENS"]


class Tokens(Task):
    """A word has one tag; label arrays are Ragged int64, an entry for each word, -1 for a tag unknown in training."""

    name = "tokens"
    description = "a tag for every word"
    several = False
    per_word = True
    fewest_labels = 2
    label_dtype = np.int64
    activation = "softmax"
    primary_metric = "f1"
    text_metric = "exact_match"
    headline_metrics = ("f1", "macro_f1", "accuracy", "exact_match")
    judged_by = ("f1", "macro_f1")
    metrics = (*headline_metrics, "precision", "recall", "log_loss", "calibration_error")
    paired_units = "texts with every tag right"
    columns = {"spans": "spans"}  # noqa: RUF012
    tags: tuple[str, ...] = ()

    def bound(self, labels: Sequence[str]) -> Self:
        found = type(self)()
        found.tags = tuple(labels)
        return found

    @property
    def problem_type(self) -> None:
        """None: transformers' problem types are those of whole texts."""
        return None


# The other methods are being written.
Tokens.__abstractmethods__ = frozenset()
TOKENS = Tokens()
