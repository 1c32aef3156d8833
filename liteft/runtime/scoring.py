"""From checked texts to token ids, and from token ids to logits: plan batches, run them, restore the order, count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from liteft.encoded import Encoded
from liteft.errors import InputError, ModelError
from liteft.ragged import Ragged, offsets_of
from liteft.runtime.backends import Engine
from liteft.runtime.batching import cut_runs, plan_batches
from liteft.runtime.counters import Counters, Stats
from liteft.runtime.inputs import Text, checked_texts
from liteft.runtime.token_ids import no_tokens, unknown_token
from liteft.tokenization import TextTokenizer

__all__ = ["WINDOW", "Reader", "require_finite", "run_encoded", "run_rows", "windows"]

WINDOW = 1024  # texts that are sorted by length together: padding is then 1.7% on SST-2, 0.4% with twice as many
_WINDOW_CHARACTERS = 1 << 22  # a window of whole books must also fit into memory

Entry = TypeVar("Entry", Text, Text | InputError)


@dataclass(frozen=True, slots=True)
class Reader:
    """How one model reads texts.

    Attributes:
        tokenizer: turns texts into ids and truncates them.
        paired: True if the model reads pairs.
        one_by_one: tokenize one text after the other, on one core.
        rows: rows of the word table, if the tokenizer may give ids beyond it; None checks nothing.
        token_types: number of the model's token types; 0 if it has none: type ids are then 0.
    """

    tokenizer: TextTokenizer
    paired: bool
    one_by_one: bool
    rows: int | None
    token_types: int

    @property
    def special_tokens(self) -> int:
        """Number of special tokens around a text, or around a pair."""
        return self.tokenizer.special_tokens(paired=self.paired)

    def encode(self, texts: list[Text], name: str = "text {}", first: int = 0) -> Encoded:
        """Return the tokens of checked texts.

        Raises:
            InputError: a text cannot be run; {} in ``name`` becomes its number, counted from ``first``.
        """
        encoded = self._encode(texts)
        self.refuse(encoded, name, first)
        return encoded

    def encode_all(self, values: Iterable[Any]) -> Iterator[Encoded]:
        """Check all values, then yield their tokens window by window. Raises InputError for the first invalid one."""
        first = 0
        for window in windows(iter(checked_texts(values, paired=self.paired)), WINDOW):
            yield self.encode(window, first=first)
            first += len(window)

    def encode_some(self, texts: list[Text]) -> tuple[Encoded, dict[int, int | None]]:
        """Return the tokens of the texts that can be run, and the result of ``refused`` for the others."""
        encoded = self._encode(texts)
        refused = self.refused(encoded)
        if refused:
            encoded = encoded[[place for place in range(len(texts)) if place not in refused]]
        return encoded, refused

    def refuse(self, encoded: Encoded, name: str, first: int = 0) -> None:
        """Raise InputError for the first text that cannot be run; ``name`` and ``first`` are as in ``encode``."""
        refused = self.refused(encoded)
        if refused:
            place = min(refused)
            raise self.refusal(name.format(first + place), refused[place])

    def refused(self, encoded: Encoded) -> dict[int, int | None]:
        """Return the texts that cannot be run: place -> first id that the model has no row for; None: no tokens."""
        lengths = encoded.lengths
        found: dict[int, int | None] = {} if lengths.all() else dict.fromkeys(np.flatnonzero(lengths == 0).tolist())
        if self.rows is not None and encoded.ids.max(initial=0) >= self.rows:
            beyond = np.flatnonzero(encoded.ids >= self.rows)
            places = np.searchsorted(encoded.offsets[1:], beyond, side="right").tolist()
            found |= dict(zip(reversed(places), encoded.ids[beyond[::-1]].tolist(), strict=True))  # the first one wins
        return found

    def refusal(self, name: str, unknown: int | None) -> InputError:
        """Return the error for a text that was refused; ``unknown`` is its value in ``refused``."""
        if unknown is None or self.rows is None:
            return no_tokens(name)
        return unknown_token(name, self.tokenizer.token(unknown), unknown, self.rows)

    def _encode(self, texts: list[Text]) -> Encoded:
        pairs = [text.second or "" for text in texts] if self.paired else None
        encoded = self.tokenizer.encode([text.first for text in texts], pairs, one_by_one=self.one_by_one)
        if self.token_types or not encoded.type_ids.any():
            return encoded
        return replace(encoded, type_ids=np.zeros_like(encoded.type_ids))


def run_encoded(
    encoded: Encoded, *, engine: Engine, counters: Counters, special_tokens: int, token_budget: int | None = None
) -> np.ndarray:
    """Return the logits of texts that have tokens, in order: float32 (texts, labels).

    If the engine gives logits per token, they are (tokens, labels), in the order of ``encoded.ids``.

    Args:
        encoded: at least one text.
        engine: computes the logits.
        counters: receives the counts of this run.
        special_tokens: of each text; one that has no others counts as empty.
        token_budget: maximum tokens of a batch, padding included; None for the engine's own.

    Raises:
        DeviceError: the engine failed.
        ModelError: the model gave NaN or infinite logits.
    """
    tokens = len(encoded.ids)
    if len(encoded) == 1:  # a single text is what has to be fast, and it needs no plan
        logits, batches, padded = engine.run(encoded), 1, tokens
    elif engine.pads:
        lengths = encoded.lengths
        plan = plan_batches(lengths, token_budget=token_budget or engine.token_budget, run_price=engine.run_price)
        parts = [engine.run(encoded[rows]) for rows in plan]
        logits = _in_order(np.concatenate(parts), np.concatenate(plan), lengths if engine.per_token else None)
        batches, padded = len(plan), sum(len(rows) * int(lengths[rows].max()) for rows in plan)
    else:
        runs = cut_runs(encoded.lengths, token_budget=token_budget or engine.token_budget)
        parts = [engine.run(encoded[run]) for run in runs]
        logits = parts[0] if len(parts) == 1 else np.concatenate(parts)
        batches, padded = len(runs), tokens
    require_finite(logits)
    counters.add(
        texts=len(encoded),
        truncated=int(np.count_nonzero(encoded.truncated)),
        empty=int(np.count_nonzero(encoded.lengths <= special_tokens)),
        tokens=tokens,
        padded_tokens=padded,
        batches=batches,
    )
    return logits


def run_rows(
    rows: Encoded, *, engine: Engine, labels: int, token_budget: int | None = None
) -> tuple[np.ndarray, Stats]:
    """Return the logits of any number of rows of tokens, some at a time, and what was computed.

    Args:
        rows, engine, token_budget: as for `run_encoded`.
        labels: number of the model's labels.

    Raises:
        DeviceError, ModelError: as in `run_encoded`.
    """
    ran = Counters()
    parts = [np.zeros((0, labels), dtype=np.float32)]
    for start in range(0, len(rows), WINDOW):
        part = rows[start : start + WINDOW]
        parts.append(run_encoded(part, engine=engine, counters=ran, special_tokens=0, token_budget=token_budget))
    return parts[1] if len(parts) == 2 else np.concatenate(parts), ran.snapshot()


def _in_order(logits: np.ndarray, order: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Return the rows of logits of texts that ran in another order; texts have ``lengths`` rows, None for one each."""
    back = np.argsort(order)
    return logits[back] if lengths is None else Ragged(logits, offsets_of(lengths[order]))[back].values


def windows(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    """Cut an iterator into lists of at most ``size`` entries and a bounded number of characters; never read ahead."""
    window: list[Entry] = []
    characters = 0
    for entry in entries:
        window.append(entry)
        characters += entry.characters if isinstance(entry, Text) else 0
        if len(window) >= size or characters >= _WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


def require_finite(logits: np.ndarray) -> None:
    """Refuse logits that contain NaN or infinite values.

    Raises:
        ModelError: they do.
    """
    if not np.isfinite(logits).all():
        raise ModelError(
            "the model gave logits that are not finite (NaN or infinite).",
            fix="export the model again, and let the export verify it",
        )
