"""Classifying an endless iterable: one window of texts at a time, in order, and never reading further ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from liteft.errors import InputError
from liteft.runtime.backends import Engine
from liteft.runtime.counters import Counters
from liteft.runtime.inputs import Text, as_text, text_error
from liteft.runtime.prediction import Answering, Prediction
from liteft.runtime.scoring import Reader, run_encoded, windows

__all__ = ["OnError", "Streaming"]

OnError = Literal["raise", "null"]


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a stream of values becomes a stream of predictions.

    Attributes:
        engine: returns the engine, or raises DeviceError once the classifier is closed.
        reader: tokenizes the texts.
        counters: counts what was classified and what was refused.
        answer: turns logits into predictions.
        on_error: what to do with a value that is not a text: "raise", or yield None ("null").
        token_budget: maximum tokens of a batch; None for the engine's own.
        window: number of texts that are batched together.
    """

    engine: Callable[[], Engine]
    reader: Reader
    counters: Counters
    answer: Answering
    on_error: OnError
    token_budget: int | None
    window: int

    def predictions(self, values: Iterable[Any]) -> Iterator[Prediction | None]:
        """Yield one Prediction per value, None for one that is not a text.

        Raises:
            InputError: a value is not a text or cannot be run, and ``on_error`` is "raise".
            DeviceError: the classifier was closed before this window, or the backend failed.
        """
        done = 0
        for entries in windows(self._judged(values), self.window):
            refused, predictions = self._answered([entry for entry in entries if isinstance(entry, Text)])
            place = -1
            for row, entry in enumerate(entries):
                refusal = entry if isinstance(entry, InputError) else None
                if refusal is None:
                    place += 1
                    if place not in refused:
                        yield next(predictions)
                        continue
                    refusal = self.reader.refusal(f"text {done + row}", refused[place])
                if self.on_error == "raise":
                    raise refusal
                self.counters.add_refused()
                yield None
            done += len(entries)

    def _answered(self, texts: list[Text]) -> tuple[dict[int, int | None], Iterator[Prediction]]:
        """Return which texts of a window were refused, and the predictions for the others."""
        engine = self.engine()
        encoded, refused = self.reader.encode_some(texts)
        if not len(encoded):
            return refused, iter(())
        logits = run_encoded(
            encoded,
            engine=engine,
            counters=self.counters,
            special_tokens=self.reader.special_tokens,
            token_budget=self.token_budget,
        )
        return refused, iter(self.answer(logits, encoded.truncated))

    def _judged(self, values: Iterable[Any]) -> Iterator[Text | InputError]:
        paired = self.reader.paired
        for number, value in enumerate(values):
            text = as_text(value, paired=paired)
            yield text_error(value, paired=paired, name=f"text {number}") if text is None else text
