"""Rows of a file and what is added to them: a row's text is checked and classified, and the prediction becomes columns.

Single-label models add `prediction` and `score`, multi-label models `predictions` and `scores`, models of scores
`prediction`, models of words `predicted_spans`, and `top_k` adds `top`. None of these is a usual name of gold labels,
which files that people score have too: `label`, for models of scores `score`, for models of words `spans` and `tags`.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from liteft.errors import DataError, InputError, option
from liteft.privacy import Shown, policy
from liteft.runtime.inputs import Text, as_text, kind_of, text_error
from liteft.runtime.shown_answers import shown_answer
from liteft.runtime.streaming import OnError
from liteft.runtime.word_texts import WordText

__all__ = ["RowScorer", "ScoredRow", "in_parts", "plain_text"]

_PART_CHARACTERS = 1 << 24
_DIGITS = 6  # of a score: float32 has no more precision


@dataclass(slots=True)
class ScoredRow:
    """A row on its way from input to output.

    Attributes:
        values: column -> value; once scored, with the added columns.
        where: its place, for messages.
        text: its text or pair; None if it has no usable one.
        truncated: True if the text was truncated.
    """

    values: dict[str, Any]
    where: str
    text: Text | WordText | None
    truncated: bool = False


class RowScorer:
    """Reads the texts of rows, and adds the predictions.

    Args:
        classifier: a Classifier, which makes the predictions; of `WordScorer` a TokenClassifier.
        columns: column of the text, or of both texts of a pair.
        prefix: prefix of the names of the added columns.
        top_k: as in ``Classifier.predict``.
        threshold: as in ``Classifier.predict``.
        on_error: what to do with a row without a usable text: "raise" an error or write nulls ("null").
        token_budget: as in ``Classifier.stream``.
        texts: what is shown of words of the texts, as `privacy.policy` says it; None for what that says here.

    Attributes:
        columns: column of the text, or of both texts of a pair.
        added: the added columns, name -> kind as in ``row_format``.
        settings: the settings that determine the predictions, as JSON values.

    Raises:
        ConfigError: a setting is unknown or does not fit the model.
    """

    _kind_of_top: ClassVar[str] = "scores"

    def __init__(
        self,
        classifier: Any,
        *,
        columns: Sequence[str],
        prefix: str,
        top_k: int | None,
        threshold: float | Sequence[float] | None,
        on_error: OnError,
        token_budget: int | None,
        texts: Shown | None = None,
    ) -> None:
        self._classifier = classifier
        self.texts: Shown = texts or policy()
        self.columns = tuple(columns)
        self._top_k = top_k
        self._threshold = threshold
        self._on_error = on_error
        self._token_budget = token_budget
        self._task = classifier.manifest.task
        self._check_settings()
        kinds = self._kinds()
        self._names = [prefix + name for name in kinds]
        self.added: Mapping[str, str] = dict(zip(self._names, kinds.values(), strict=True))
        self.settings: dict[str, Any] = {
            "text": self.columns[0],
            "pair": self.columns[1] if len(self.columns) > 1 else None,
            "prefix": prefix,
            "top_k": top_k,
            "threshold": None if threshold is None else np.asarray(threshold).tolist(),
            "device": classifier.device,
            "backend": classifier.backend,
            "precision": classifier.precision,
            **({} if self.texts == "shown" else {"texts": self.texts}),
        }

    def check_names(self, names: Container[str], where: str) -> None:
        """Raise DataError if an added column would overwrite one of ``names``."""
        for name in self._names:
            if name in names:
                raise DataError(
                    f"{where} already has a column {name!r}.",
                    accepted={"columns that are added": ", ".join(self._names)},
                    fix=option("prefix", "new_", note=", to name them differently"),
                )

    def read(self, values: dict[str, Any], where: str) -> ScoredRow:
        """Return a row with its text checked.

        Raises:
            DataError: the row has no usable text and ``on_error`` is "raise", or it already has an added column.
        """
        self.check_names(values, where)
        return ScoredRow(values, where, self.text_of(values, where))

    def text_of(self, values: Mapping[str, Any], where: object) -> Text | WordText | None:
        """Return the text of a row, None if it has no usable one.

        Raises:
            DataError: it has none and ``on_error`` is "raise"; ``where`` is its place, for the message.
        """
        halves = []
        for part, column in zip(("text", "pair"), self.columns, strict=False):
            value = values.get(column)
            text = as_text(value, paired=False)
            if text is None:
                self._refuse(_text_error(value, f"{where}, column {column!r},"), part)
                return None
            halves.append(text.first)
        return Text(halves[0], halves[1] if len(halves) > 1 else None)

    def score(self, rows: Sequence[ScoredRow]) -> Iterator[None]:
        """Add the predictions to rows, one row per step. Only these rows are batched together.

        Raises:
            DataError: a text has no tokens, or one that the model has no row for, and ``on_error`` is "raise".
            DeviceError: the backend failed.
        """
        for row, (cells, truncated) in zip(rows, self.scored([row.text for row in rows]), strict=True):
            if cells is None and row.text is not None:
                self.refuse_text(row.text, row.where)
                row.text = None
            row.truncated = truncated
            row.values.update(itertools.zip_longest(self._names, cells or ()))
            yield

    def scored(self, texts: Sequence[Text | WordText | None]) -> Iterator[tuple[list[Any] | None, bool]]:
        """Yield the values of the added columns for each text, and whether it was truncated.

        The values are None for a text that is None or that the model cannot run. A text that occurs several times is
        computed once.

        Raises:
            DeviceError: the backend failed.
        """
        places: dict[Any, int] = {}
        at = [places.setdefault(_key(text), len(places)) for text in texts]
        first = dict(zip(reversed(at), reversed(texts), strict=True))
        answers = self._answers([first[place] for place in range(len(places))])
        done: list[tuple[list[Any] | None, bool]] = []
        for place in at:
            if place == len(done):
                answer = next(answers)
                done.append((None, False) if answer is None else (self._cells_of(answer), answer.truncated))
            yield done[place]

    def refuse_text(self, text: Text | WordText, where: str) -> None:
        """Raise the error for a text that the model cannot run, unless such rows get no prediction.

        Raises:
            DataError: ``on_error`` is "raise".
        """
        self._refuse(self._classifier.refusal(text, where))

    def _check_settings(self) -> None:
        """Raise ConfigError if a setting is unknown or does not fit the model."""
        self._classifier.stream(
            (),
            top_k=self._top_k,
            threshold=self._threshold,
            on_error=self._on_error,
            token_budget=self._token_budget,
        )

    def _kinds(self) -> dict[str, str]:
        """Return the added columns without their prefix: name -> kind."""
        return {**self._task.columns, **({} if self._top_k is None else {"top": self._kind_of_top})}

    def _answers(self, texts: Sequence[Any]) -> Iterator[Any]:
        """Yield the model's answer for each text, None for one that is None or cannot be run."""
        answers: Iterator[Any] = self._classifier.stream(
            map(plain_text, texts),
            top_k=len(self._classifier.labels) if self._task.several else self._top_k,  # any label may be one
            threshold=self._threshold,
            on_error="null",
            token_budget=self._token_budget,
        )
        return answers

    def _cells_of(self, answer: Any) -> list[Any]:
        return self._cells(answer if self.texts == "shown" else shown_answer(answer, self.texts))

    def _cells(self, answer: Any) -> list[Any]:
        """Return the values of the added columns for an answer."""
        cells = [_rounded(cell) for cell in self._task.cells(answer)]
        if self._top_k is not None:
            cells.append(_rounded(self._best(answer)[: self._top_k]))
        return cells

    def _best(self, answer: Any) -> list[dict[str, Any]]:
        """Return what a column "top" holds of an answer."""
        return [{"label": label, "score": score} for label, score in answer.top]

    def _refuse(self, error: InputError, part: str | None = "text") -> None:
        """Raise the error of a row, unless such rows get no prediction; of its "text", its "pair" or neither, None."""
        if self._on_error == "raise":
            text = {} if part is None else {"text": "a string, perhaps empty, that UTF-8 can encode"}
            which = "text" if part == "text" else "second text"
            raise DataError(
                error.message,
                accepted={
                    **text,
                    **{name: value for name, value in error.accepted.items() if name not in ("inputs", "text")},
                },
                fix=[
                    *([] if part is None else [option(part, "NAME", note=f", if another column holds the {which}")]),
                    option("on_error", "null", note=", to give such rows no prediction; finished rows are kept"),
                ],
            )


def _text_error(value: Any, name: str) -> InputError:
    """Return the error for a cell that is not a text; a list of two strings is no pair in one column."""
    if isinstance(value, list | tuple):
        return InputError(f"{name} is {kind_of(value)}.", fix="one string in each cell")
    return text_error(value, paired=False, name=name)


def in_parts(rows: Iterator[ScoredRow], part_rows: int) -> Iterator[list[ScoredRow]]:
    """Cut rows into parts of at most ``part_rows`` and of bounded memory.

    The boundaries depend only on the rows and on ``part_rows``, so a file that is resumed at a boundary is cut
    as if it had been read from the beginning.
    """
    part: list[ScoredRow] = []
    characters = 0
    for row in rows:
        part.append(row)
        characters += _characters(row.values)
        if len(part) >= part_rows or characters >= _PART_CHARACTERS:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _characters(value: Any) -> int:
    """Return roughly how much memory a value takes, in characters."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 8


def plain_text(text: Text | None) -> str | tuple[str, str] | None:
    """Return a text, or both texts of a pair, as a classifier takes them; None for None."""
    if text is None or text.second is None:
        return None if text is None else text.first
    return text.first, text.second


def _key(text: Text | WordText | None) -> Any:
    """Return what is equal for equal texts, and hashable."""
    return (text.text, tuple(text.words), text.predicate) if isinstance(text, WordText) else text


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    return round(value, _DIGITS) if isinstance(value, float) else value
