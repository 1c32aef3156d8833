"""Classifying an endless iterable: one window of texts at a time, in order, and never reading further ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from liteft.arguments import require_count
from liteft.errors import ConfigError, InputError, option
from liteft.runtime.backends import Engine
from liteft.runtime.counters import Counters
from liteft.runtime.inputs import Text, as_text, text_error
from liteft.runtime.scoring import Reader, run_encoded, windows

__all__ = ["OnError", "Streaming", "check_settings", "in_order"]

OnError = Literal["raise", "null"]
Entry = TypeVar("Entry")
Answer = TypeVar("Answer")


def check_settings(on_error: str, token_budget: int | None, window: int) -> None:
    """Check the settings of a stream.

    Raises:
        ConfigError: one does not fit.
    """
    if on_error not in ("raise", "null"):
        raise ConfigError(
            f"on_error must be raise or null, got {on_error!r}.",
            accepted={"on_error": "raise, null"},
            fix=option("on_error", "null"),
        )
    require_count("window", window)
    if token_budget is not None:
        require_count("token_budget", token_budget)


def in_order(
    windows: Iterable[list[Entry | InputError]],
    answered: Callable[[list[Entry]], tuple[dict[int, int | None], Iterator[Answer]]],
    *,
    refusal: Callable[[str, int | None], InputError],
    counters: Counters,
    on_error: OnError,
) -> Iterator[Answer | None]:
    """Yield one answer per entry, None for one that is an error or was refused.

    Args:
        windows: texts, some at a time, and in place of values that are none their errors.
        answered: returns which of these texts were refused, and the answers for the others.
        refusal: returns the error for a text that was refused, by its name and what ``answered`` says of it.
        counters: counts what was refused.
        on_error: "raise" the error of a value, or yield None ("null").

    Raises:
        InputError: a value is not a text or cannot be run, and ``on_error`` is "raise".
    """
    done = 0
    for entries in windows:
        refused, answers = answered([entry for entry in entries if not isinstance(entry, InputError)])
        place = -1
        for row, entry in enumerate(entries):
            error = entry if isinstance(entry, InputError) else None
            if error is None:
                place += 1
                if place not in refused:
                    yield next(answers)
                    continue
                error = refusal(f"text {done + row}", refused[place])
            if on_error == "raise":
                raise error
            counters.add_refused()
            yield None
        done += len(entries)


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a stream of values becomes a stream of predictions.

    Attributes:
        engine: returns the engine, or raises DeviceError once the classifier is closed.
        reader: tokenizes the texts.
        counters: counts what was classified and what was refused.
        answer: turns logits, and which texts were truncated, into predictions.
        on_error: what to do with a value that is not a text: "raise", or yield None ("null").
        token_budget: maximum tokens of a batch; None for the engine's own.
        window: number of texts that are batched together.
    """

    engine: Callable[[], Engine]
    reader: Reader
    counters: Counters
    answer: Callable[[np.ndarray, np.ndarray], list[Any]]
    on_error: OnError
    token_budget: int | None
    window: int

    def predictions(self, values: Iterable[Any]) -> Iterator[Any]:
        """Yield one prediction per value, None for one that is not a text.

        Raises:
            InputError: a value is not a text or cannot be run, and ``on_error`` is "raise".
            DeviceError: the classifier was closed before this window, or the backend failed.
        """
        return in_order(
            windows(self._judged(values), self.window),
            self._answered,
            refusal=self.reader.refusal,
            counters=self.counters,
            on_error=self.on_error,
        )

    def _answered(self, texts: list[Text]) -> tuple[dict[int, int | None], Iterator[Any]]:
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
