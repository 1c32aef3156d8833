"""A model for the tables of a pipeline of your own, Arrow to Arrow: `liteft.ray` and `liteft.spark` stand on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from liteft.runtime.repeats import Repeats
from liteft.runtime.scored_blocks import BlockScorer
from liteft.runtime.scored_kinds import Model, row_scorer, text_columns
from liteft.runtime.streaming import OnError

__all__ = ["Adding"]


@dataclass(frozen=True)
class Adding:
    """What is added to a table, and which of its columns stay.

    Attributes:
        text, pair, keep, prefix, top_k, threshold, on_error: as in ``score``.
    """

    text: str | None = None
    pair: str | None = None
    keep: Sequence[str] | None = None
    prefix: str = ""
    top_k: int | None = None
    threshold: float | Sequence[float] | None = None
    on_error: OnError = "raise"

    def scorer(self, classifier: Model, names: Sequence[str], *, repeats: bool = False) -> BlockScorer:
        """Return what adds the predictions to blocks of a table.

        Args:
            classifier: the model.
            names: the table's columns.
            repeats: find texts of earlier blocks again, too.

        Raises:
            DataError: a column is missing.
            ConfigError: a setting does not fit the model.
        """
        columns = text_columns(names, classifier, source="the table", text=self.text, pair=self.pair, lists=True)
        scorer = row_scorer(
            classifier,
            columns=columns,
            prefix=self.prefix,
            top_k=self.top_k,
            threshold=self.threshold,
            on_error=self.on_error,
            token_budget=None,
        )
        return BlockScorer(scorer, keep=self.keep, repeats=Repeats() if repeats else None)
