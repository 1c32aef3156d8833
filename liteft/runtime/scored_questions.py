"""Rows of a file and the answers that are added to them: the counterpart of `scored_rows` for models of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from liteft.data.columns import find_column
from liteft.errors import ConfigError, DataError, leave_out, option
from liteft.runtime.inputs import Text
from liteft.runtime.scored_rows import RowScorer, plain_text

__all__ = ["QuestionScorer", "question_columns", "refuse_threshold"]

_USUAL = {"text": ("question", "query"), "pair": ("context", "passage", "paragraph", "document")}


class QuestionScorer(RowScorer):
    """Reads the questions and contexts of rows, and adds their answers."""

    def _check_settings(self) -> None:
        refuse_threshold(self._threshold)
        self._classifier.stream((), top_k=self._top_k, on_error=self._on_error, token_budget=self._token_budget)

    def _answers(self, texts: Sequence[Text | None]) -> Iterator[Any]:
        answers: Iterator[Any] = self._classifier.stream(
            map(plain_text, texts), top_k=self._top_k, on_error="null", token_budget=self._token_budget
        )
        return answers

    def _best(self, answer: Any) -> list[tuple[str, float]]:
        return [(each.text, each.score) for each in answer.top]


def refuse_threshold(threshold: Any) -> None:
    """Raise ConfigError if a threshold is given, not None, which only models of labels have."""
    if threshold is not None:
        raise ConfigError(
            "threshold was given, but this model answers questions; its own threshold was fitted on validation.",
            accepted={"threshold": "models that label whole texts"},
            fix=leave_out("threshold"),
        )


def question_columns(columns: Sequence[str], *, source: str, text: str | None, pair: str | None) -> list[str]:
    """Return the columns of the question and of its context.

    Raises:
        DataError: there is no such column.
    """
    found = []
    for part, given in (("text", text), ("pair", pair)):
        if given:
            found.append(find_column(columns, given, part, source))
            continue
        hits = [name for usual in _USUAL[part] for name in columns if name.casefold() == usual]
        if not hits:
            what = "question" if part == "text" else "context"
            raise DataError(
                f"{source}: the column names do not say which one holds the {what}.",
                accepted={"columns": ", ".join(columns), "usual names": ", ".join(_USUAL[part])},
                fix=option(part, "NAME"),
            )
        found.append(hits[0])
    return found
