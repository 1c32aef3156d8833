"""Tagged texts: from the logits of words to spans with their places in the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.ragged import Ragged, gathered, offsets_of
from liteft.results import Result
from liteft.runtime.offsets import Offsets, places_in
from liteft.runtime.prediction import activation_of
from liteft.runtime.word_texts import WordText
from liteft.tasks.tokens import Tokens
from liteft.text_tables import aligned, one_line, shortened

__all__ = ["Span", "TaggedText", "Tagging"]

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Span:
    """Words of a text that belong together, such as a name.

    Attributes:
        label: the type, such as "PER" of the tags "B-PER" and "I-PER".
        score: the mean over its words of the probability of their tags.
        text: the characters from ``start`` to ``end``.
        start, end: where it is in the text, in code points, the end exclusive.
        word_start, word_end: its words, counted from 0, the end exclusive.
    """

    label: str
    score: float
    text: str
    start: int
    end: int
    word_start: int
    word_end: int

    def to_dict(self, place: Callable[[int], int] = int) -> dict[str, Any]:
        """Return the span as plain data with the keys of transformers' pipelines, and its words.

        Args:
            place: turns a place in code points into the units that are wanted.
        """
        return {
            "entity_group": self.label,
            "score": self.score,
            "word": self.text,
            "start": place(self.start),
            "end": place(self.end),
            "word_start": self.word_start,
            "word_end": self.word_end,
        }


@dataclass(frozen=True, slots=True)
class TaggedText(Result):
    """The tags of one text's words, and the spans that they make.

    Attributes:
        spans: the spans, in order; none for words that are outside of any.
        text: the text; of words that were given, these with a space between.
        words: begin and end of each word in code points of the text.
        tags: the tag of each word: the likeliest ones of which none continues a span that there is not.
        scores: the probability of each word's tag; the logit if the manifest names no activation.
        truncated: True if a word has more tokens than a quarter of what the model reads, and was judged by its first;
            of roles also if the text is so long that some words were judged in a window without the predicate.
        backend: what computed it: "native" or "onnxruntime"; see ``Prediction``.
        predicate: the number of the word whose roles these are, counted from 0; None of models without roles.
    """

    spans: tuple[Span, ...]
    text: str
    words: tuple[tuple[int, int], ...]
    tags: tuple[str, ...]
    scores: tuple[float, ...]
    truncated: bool
    backend: str
    predicate: int | None = None

    def render(self) -> str:
        """Return the text, and below it a line for each span: its characters, label, score and place.

        Of roles the text's line ends with the predicate.
        """
        rows = [
            (one_line(span.text), span.label, f"{span.score:.4f}", f"{span.start}:{span.end}") for span in self.spans
        ]
        shown = shortened(one_line(self.text), _SHOWN)
        lines = aligned(rows, texts=2, rule=False).splitlines() if rows else ["(no spans)"]
        if self.predicate is not None:
            start, end = self.words[self.predicate]
            shown += f" (predicate: {one_line(self.text[start:end])}, word {self.predicate})"
        return "\n".join([shown, *(f"  {line}" for line in lines)])

    def to_dict(self, *, offsets: Offsets = "code points") -> dict[str, Any]:
        """Return the tagged text as plain data for JSON; spans have the keys of transformers' pipelines.

        Args:
            offsets: what places count: code points, as Python does, or units of UTF-16 ("utf16"), as JavaScript does.

        Raises:
            ConfigError: ``offsets`` is neither.
        """
        place = places_in(self.text, offsets)
        return {
            "spans": [span.to_dict(place) for span in self.spans],
            "words": [[place(start), place(end)] for start, end in self.words],
            "tags": list(self.tags),
            "scores": list(self.scores),
            "truncated": self.truncated,
            "backend": self.backend,
            **({} if self.predicate is None else {"predicate": self.predicate}),
        }


class Tagging:
    """Turns the logits of words into tagged texts.

    Args:
        task: bound to the names of the tags.
        activation: "softmax" or "none".
        backend: the backend's name, for each TaggedText.
    """

    def __init__(self, *, task: Tokens, activation: str, backend: str) -> None:
        self._task = task
        self._activation = activation_of(activation)
        self._backend = backend

    def __call__(self, logits: Ragged, texts: Sequence[WordText], truncated: np.ndarray) -> list[TaggedText]:
        """Return one TaggedText per text.

        Args:
            logits: float32, (words, tags) for each text.
            texts: the texts.
            truncated: bool, shape (texts,).
        """
        decided = self._task.decide(logits)
        chosen = self._activation(logits.values)[np.arange(len(decided.values)), decided.values]
        spans = self._spans(decided, chosen, texts)
        names, offsets = self._task.tags, decided.offsets.tolist()
        tags, scores = [names[tag] for tag in decided.values.tolist()], chosen.tolist()
        return [
            TaggedText(
                tuple(own), text.text, tuple(text.words), tuple(tags[first:last]), tuple(scores[first:last]), cut,
                self._backend, text.predicate if text.predicate >= 0 else None,
            )
            for own, text, first, last, cut in zip(
                spans, texts, offsets, offsets[1:], truncated.tolist(), strict=False
            )
        ]  # fmt: skip

    def _spans(self, decided: Ragged, chosen: np.ndarray, texts: Sequence[WordText]) -> list[list[Span]]:
        """Return the spans of each text; ``chosen`` are the scores of the words' tags."""
        scheme = self._task.scheme
        found = scheme.spans(decided)
        scores = _means(chosen, found.starts, found.ends)
        first = decided.offsets[found.texts]
        made: list[list[Span]] = [[] for _ in texts]
        for row, kind, score, start, end in zip(
            found.texts.tolist(),
            found.types.tolist(),
            scores.tolist(),
            (found.starts - first).tolist(),
            (found.ends - first).tolist(),
            strict=True,
        ):
            text, words = texts[row].text, texts[row].words
            begin, stop = words[start][0], words[end - 1][1]
            made[row].append(Span(scheme.type_names[kind], score, text[begin:stop], begin, stop, start, end))
        return made


def _means(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the means of some runs of values, each added up from its first: float64 (runs,)."""
    offsets = offsets_of(ends - starts)
    runs = Ragged(values[gathered(starts, offsets)], offsets)
    return np.asarray(np.bincount(runs.row_numbers, weights=runs.values, minlength=len(runs)) / runs.lengths)
