"""Rows of a file and the spans that are added to them: the counterpart of `scored_rows` for models of words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liteft.data.columns import choose_columns
from liteft.errors import ConfigError, DataError, leave_out
from liteft.privacy import shown_names
from liteft.runtime.scored_rows import RowScorer
from liteft.runtime.shown_answers import shown_words
from liteft.runtime.word_texts import WordText, as_words, predicate_error, words_error

__all__ = ["TAGGED_WORDS", "WordScorer", "refuse_text_settings", "word_columns"]

TAGGED_WORDS = "tagged words"
_WORDS = ("words", "tokens")
_PREDICATE = "predicate"


class WordScorer(RowScorer):
    """Reads the texts of rows, strings or lists of words, and adds their spans.

    Args:
        tagged: add each word with its tag instead, for files in CoNLL's format.
        settings: those of `RowScorer`.
    """

    def __init__(self, classifier: Any, *, tagged: bool, **settings: Any) -> None:
        self._tagged = tagged
        super().__init__(classifier, **settings)

    def _check_settings(self) -> None:
        refuse_text_settings(top_k=self._top_k, threshold=self._threshold)
        self._classifier.stream((), on_error=self._on_error, token_budget=self._token_budget)

    def _kinds(self) -> dict[str, str]:
        return {TAGGED_WORDS: "tagged words"} if self._tagged else dict(self._task.columns)

    def text_of(self, values: Mapping[str, Any], where: object) -> WordText | None:
        """Return the text of a row, None if it has no usable one. See `RowScorer.text_of`."""
        value = values.get(self.columns[0])
        text = as_words(value, marked=False)
        if text is None:
            self._refuse(words_error(value, marked=False, name=f"{where}, column {self.columns[0]!r},"))
        if text is None or not self._classifier.marked:
            return text
        given = values.get(self.columns[1])
        asked = as_words((text, _number(given)), marked=True)
        if asked is None:
            self._refuse(predicate_error(given, text, f"{where}, column {self.columns[1]!r},"), part=None)
        return asked

    def _answers(self, texts: Sequence[Any]) -> Iterator[Any]:
        answers: Iterator[Any] = self._classifier.stream(texts, on_error="null", token_budget=self._token_budget)
        return answers

    def _cells(self, answer: Any) -> list[Any]:
        if not self._tagged:
            return super()._cells(answer)
        words = shown_words([answer.text[start:end] for start, end in answer.words], answer.text, self.texts)
        return [list(zip(words, answer.tags, strict=True))]


def refuse_text_settings(**settings: Any) -> None:
    """Raise ConfigError if a setting is given, not None, that only models of whole texts have."""
    for name, value in settings.items():
        if value is not None:
            raise ConfigError(
                f"{name} was given, but this model tags words.",
                accepted={name: "models that label whole texts"},
                fix=leave_out(name),
            )


def word_columns(
    columns: Sequence[str], *, source: str, text: str | None, marked: bool, lists: bool = True
) -> list[str]:
    """Return the column of the text or of its words, and for a model of roles that of the predicate.

    Args:
        columns: of the file.
        source: its name.
        text: the column that was asked for; None to find it.
        marked: the model is one of roles.
        lists: cells may be lists of words; otherwise columns named for words hold something else.

    Raises:
        DataError: there is no such column, or several could hold the text.
    """
    found = next((name for name in _WORDS if name in columns), None) if text is None and lists else None
    if found is None:
        found = choose_columns(columns, source=source, text=text, pair="", labelled=False).text
    if not marked:
        return [found]
    if _PREDICATE not in columns:
        raise DataError(
            f"{source} has no column {_PREDICATE!r}, but this model finds the roles of one word of each text.",
            accepted={"columns": ", ".join(shown_names(columns)), _PREDICATE: "the number of the word, counted from 0"},
            fix=f"add a column {_PREDICATE!r}",
        )
    return [found, _PREDICATE]


def _number(value: Any) -> Any:
    """Return a cell as a whole number, if it is one: also as text, or as a float where other rows have none."""
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole or (isinstance(value, str) and value.isascii() and value.isdigit()) else value
