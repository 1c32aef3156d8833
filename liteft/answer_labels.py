"""Labels of questions: where their answers are in the texts that they are asked about.

A question has one answer, several that are equally right, or none. An answer is a part of its context, so two numbers
say what it is; but answers are compared as strings, so the contexts stay with the numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, overload

import numpy as np

from liteft.ragged import Ragged, offsets_of

__all__ = ["AnswerLabels"]


@dataclass(frozen=True, slots=True, eq=False)
class AnswerLabels(Ragged):
    """The answers of questions: a row for each question, without entries where its context does not answer it.

    Attributes:
        values: begin and end of each answer in its context, in code points, ends exclusive: int64 (answers, 2).
        texts: the context of each question.
    """

    texts: tuple[str, ...] = ()

    @classmethod
    def found(cls, answers: Sequence[Sequence[tuple[int, int]]], texts: Iterable[str]) -> Self:
        """Return the labels of questions.

        Args:
            answers: begin and end of each question's answers, in code points of its context, ends exclusive.
            texts: the context of each question.

        Raises:
            ValueError: there is not a context for each question, or an answer is empty or not within its context.
        """
        contexts = tuple(texts)
        if len(contexts) != len(answers):
            raise ValueError(f"{len(answers):,} questions with {len(contexts):,} contexts")
        spans = np.array([span for row in answers for span in row], dtype=np.int64).reshape(-1, 2)
        made = cls(spans, offsets_of([len(row) for row in answers]), contexts)
        lengths = np.array([len(text) for text in contexts], dtype=np.int64)[made.row_numbers]
        wrong = np.flatnonzero((spans[:, 0] < 0) | (spans[:, 0] >= spans[:, 1]) | (spans[:, 1] > lengths))
        if len(wrong):
            begin, end = spans[wrong[0]].tolist()
            raise ValueError(f"an answer from {begin} to {end} in a context of {lengths[wrong[0]]:,} characters")
        return made

    @classmethod
    def join(cls, parts: Iterable[Ragged]) -> Self:
        """Return the rows of all parts, each of them AnswerLabels, in order."""
        parts = list(parts)
        values = np.concatenate([part.values for part in parts])
        texts = tuple(text for part in parts if isinstance(part, AnswerLabels) for text in part.texts)
        return cls(values, offsets_of(np.concatenate([part.lengths for part in parts])), texts)

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the labels that `stored` gave."""
        whole, bounds = arrays["contexts"].tobytes(), arrays["context_bytes"].tolist()
        texts = [whole[start:end].decode("utf-8", "surrogatepass") for start, end in itertools.pairwise(bounds)]
        return cls(arrays["labels"], arrays["label_offsets"], tuple(texts[each] for each in arrays["context"].tolist()))

    def stored(self) -> dict[str, np.ndarray]:
        """Return arrays that say all, with each context once: for files of arrays."""
        number = {text: place for place, text in enumerate(dict.fromkeys(self.texts))}
        encoded = [text.encode("utf-8", "surrogatepass") for text in number]
        return {
            "labels": self.values,
            "label_offsets": self.offsets,
            "contexts": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "context_bytes": offsets_of([len(each) for each in encoded]),
            "context": np.array([number[text] for text in self.texts], dtype=np.int64),
        }

    def stored_alone(self) -> dict[str, np.ndarray]:
        """Return arrays with the places of the answers, without the contexts, so that nothing restores the strings."""
        return {"labels": self.values, "label_offsets": self.offsets}

    @property
    def strings(self) -> list[list[str]]:
        """The answers of each question as they are written in its context."""
        spans = iter(self.values.tolist())
        counted = zip(self.texts, self.lengths.tolist(), strict=True)
        return [[text[begin:end] for begin, end in (next(spans) for _ in range(count))] for text, count in counted]

    @property
    def answered(self) -> np.ndarray:
        """Which questions have an answer: bool (texts,)."""
        return np.asarray(self.lengths > 0)

    def like(self, values: np.ndarray) -> AnswerLabels:
        """Return other values, as many as there are, in the same rows and with the same contexts."""
        return AnswerLabels(Ragged.like(self, values).values, self.offsets, self.texts)

    def astype(self, dtype: Any, copy: bool = True) -> AnswerLabels:
        """Return the same rows with values of another type."""
        return AnswerLabels(self.values.astype(dtype, copy=copy), self.offsets, self.texts)

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> np.ndarray: ...

    @overload
    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> AnswerLabels: ...

    def __getitem__(self, rows: Any) -> np.ndarray | AnswerLabels:
        """Return one question's answers as an array, or some questions with their contexts."""
        found = Ragged.__getitem__(self, rows)
        if isinstance(found, np.ndarray):
            return found
        chosen = np.arange(len(self))[rows].tolist()
        return AnswerLabels(found.values, found.offsets, tuple(self.texts[row] for row in chosen))
