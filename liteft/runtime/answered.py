"""Answers to questions: from the packed form of logits (`liteft.answer_spans`) to parts of contexts with scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liteft.answer_spans import best_spans, log_totals, top_spans
from liteft.arguments import checked_top_k
from liteft.errors import ConfigError, leave_out
from liteft.ragged import Ragged
from liteft.results import Result
from liteft.runtime.inputs import Text
from liteft.runtime.offsets import Offsets, places_in

__all__ = ["Alternative", "Answer", "Deciding"]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the best answers to a question.

    Attributes:
        text: the characters from ``start`` to ``end`` of the context.
        score: its probability, as for `Answer`.
        start, end: where it is in the context, in code points, the end exclusive.
    """

    text: str
    score: float
    start: int
    end: int

    def to_dict(self, place: Callable[[int], int] = int) -> dict[str, Any]:
        """Return the answer as plain data with the keys of transformers' pipelines.

        Args:
            place: turns a place in code points into the units that are wanted.
        """
        return {"answer": self.text, "score": self.score, "start": place(self.start), "end": place(self.end)}


@dataclass(frozen=True, slots=True)
class Answer(Result):
    """The answer to one question, a part of its context, or that there is none.

    Scores are a softmax over all parts of the context that an answer may be, in every window of it, and no answer: the
    model's own probabilities, which nobody has calibrated. The model's threshold is in the logits of no answer.

    Attributes:
        text: the answer as it is written in the context; "" if the context does not answer the question.
        score: the probability of what was decided: of the answer, or of no answer.
        start, end: where the answer is in the context, in code points, the end exclusive; None without an answer.
        no_answer_score: the probability that there is none; 0 for a model that answers every question.
        top: the ``top_k`` best answers, best first, none of which shares a word with another; empty without ``top_k``.
            They are there also if no answer was decided.
        truncated: True if the question was cut, or a word of the context has more tokens than a quarter of a window.
        backend: what computed it: "native" or "onnxruntime"; see ``Prediction``.
        context: the text in which ``start`` and ``end`` are places.
    """

    text: str
    score: float
    start: int | None
    end: int | None
    no_answer_score: float
    top: tuple[Alternative, ...]
    truncated: bool
    backend: str
    context: str = field(repr=False)

    @property
    def answered(self) -> bool:
        """True if the context answers the question."""
        return self.start is not None

    @property
    def label(self) -> str:
        """The answer's text."""
        return self.text

    @property
    def labels(self) -> tuple[str, ...]:
        """The answer's text, if there is one."""
        return (self.text,) if self.answered else ()

    def render(self) -> str:
        """Return one line: the answer with its score, and further ones with ``top_k``."""
        line = f"{self.text if self.answered else '(no answer)'} {self.score:.4f}"
        if self.top:
            line += f" ({', '.join(f'{each.text} {each.score:.4f}' for each in self.top)})"
        return line

    def to_dict(self, *, offsets: Offsets = "code points") -> dict[str, Any]:
        """Return the answer as plain data for JSON; the first four keys are those of transformers' pipelines.

        Args:
            offsets: what places count: code points, as Python does, or units of UTF-16 ("utf16"), as JavaScript does.

        Raises:
            ConfigError: ``offsets`` is neither.
        """
        place = places_in(self.context, offsets)
        return {
            "answer": self.text,
            "score": self.score,
            "start": None if self.start is None else place(self.start),
            "end": None if self.end is None else place(self.end),
            "no_answer_score": self.no_answer_score,
            "top": [each.to_dict(place) for each in self.top],
            "truncated": self.truncated,
            "backend": self.backend,
        }


class Deciding:
    """Turns logits into answers.

    Args:
        backend: the backend's name, for each Answer.
        top_k: number of answers in ``Answer.top``; None for none.
        threshold: refused, unless it is None: that of no answer is the model's own.

    Raises:
        ConfigError: ``top_k`` is not a positive integer, or there is a threshold.
    """

    def __init__(self, *, backend: str, top_k: int | None = None, threshold: None = None) -> None:
        if threshold is not None:
            raise ConfigError(
                "threshold was given, but this model answers questions; its threshold of no answer is in its logits.",
                accepted={"threshold": "models that label whole texts"},
                fix=leave_out("threshold"),
            )
        self._backend, self._top_k = backend, checked_top_k(top_k)

    def __call__(self, logits: Ragged, texts: Sequence[Text], truncated: np.ndarray) -> list[Answer]:
        """Return one Answer per question.

        Args:
            logits: the packed form.
            texts: questions with contexts.
            truncated: bool, shape (texts,).
        """
        found, totals = best_spans(logits), log_totals(logits)
        nothing = np.exp(found.nothing - totals)
        scores = np.exp(found.scores - totals)
        tops = self._tops(logits, totals, texts)
        columns = (found.decided(0.0).tolist(), scores.tolist(), nothing.tolist(), truncated.tolist())
        contexts = [text.second or "" for text in texts]
        return [
            Answer(context[begin:end], score, begin, end, none, next(tops), cut, self._backend, context)
            if begin >= 0
            else Answer("", none, None, None, none, next(tops), cut, self._backend, context)
            for context, (begin, end), score, none, cut in zip(contexts, *columns, strict=True)
        ]

    def _tops(self, logits: Ragged, totals: np.ndarray, texts: Sequence[Text]) -> Iterator[tuple[Alternative, ...]]:
        """Yield the best answers to each question."""
        if self._top_k is None:
            yield from (() for _ in texts)
            return
        most = int(logits.lengths.max(initial=1))  # no context has more answers
        places, scores = top_spans(logits, min(self._top_k, most))
        shares = np.exp(scores - totals[:, None])
        for text, spans, own in zip(texts, places.tolist(), shares.tolist(), strict=True):
            context = text.second or ""
            yield tuple(
                Alternative(context[begin:end], score, begin, end)
                for (begin, end), score in zip(spans, own, strict=True)
                if begin >= 0
            )
