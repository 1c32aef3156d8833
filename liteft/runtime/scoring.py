"""From a window of judged texts to logits in order: tokenize, plan batches, run, put back, count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from liteft.errors import InputError, ModelError
from liteft.runtime.backends import Engine
from liteft.runtime.batching import cut_runs, plan_batches
from liteft.runtime.counters import Counters
from liteft.runtime.inputs import Text, no_tokens, unknown_token
from liteft.tokenization import Encoded, TextTokenizer

__all__ = ["WINDOW", "Reader", "Scored", "score_texts", "windows"]

WINDOW = 1024  # texts that are sorted by length together: padding is 1.7% on SST-2 then, 0.4% with twice as many
_WINDOW_CHARACTERS = 1 << 22  # a window of whole books must fit into memory too

Entry = TypeVar("Entry", Text, Text | InputError)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a window of texts came to, in order.

    Attributes:
        logits: float32, shape (texts, labels); zeros for a text that was refused.
        truncated: bool, shape (texts,): tokens were cut off.
        lengths: int64, shape (texts,): tokens that were read; 0 for a text that was refused.
        unknown: place -> id of the token that the model has no row for; what else was refused has no token at all.
    """

    logits: np.ndarray
    truncated: np.ndarray
    lengths: np.ndarray
    unknown: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reader:
    """How one model reads texts.

    Attributes:
        tokenizer: turns them into ids and cuts them.
        paired: the model reads pairs.
        one_by_one: tokenize one text after the other, on one core.
        rows: of the table of words, where the tokenizer may give ids beyond it; else None, and nothing is checked.
    """

    tokenizer: TextTokenizer
    paired: bool
    one_by_one: bool
    rows: int | None

    def encode(self, texts: list[Text]) -> Encoded:
        """Return the tokens of texts."""
        pairs = [text.second or "" for text in texts] if self.paired else None
        return self.tokenizer.encode([text.first for text in texts], pairs, one_by_one=self.one_by_one)

    def unknown(self, encoded: Encoded) -> dict[int, int]:
        """Return place -> id of the first token that the model has no row for."""
        if self.rows is None:
            return {}
        beyond = ((place, ids[ids >= self.rows]) for place, ids in enumerate(encoded.ids))
        return {place: int(ids[0]) for place, ids in beyond if len(ids)}

    def refusal(self, name: str, unknown: int | None) -> InputError:
        """Return the error for a text that ``score_texts`` has refused; ``unknown`` is what it says of it."""
        if unknown is None or self.rows is None:
            return no_tokens(name)
        return unknown_token(name, self.tokenizer.token(unknown), unknown, self.rows)


def score_texts(
    texts: list[Text],
    *,
    reader: Reader,
    engine: Engine,
    labels: int,
    counters: Counters,
    token_budget: int | None = None,
) -> Scored:
    """Return the logits of one window of texts.

    Args:
        texts: judged texts, or pairs where ``paired``.
        reader: tokenizes them.
        engine: computes.
        labels: number of labels.
        counters: gets what was done added.
        token_budget: tokens of a batch, at most, padding included; None for the engine's own.

    Raises:
        DeviceError: the engine failed.
        ModelError: the model gave NaN or infinite logits.
    """
    encoded = reader.encode(texts)
    lengths = encoded.lengths
    unknown = reader.unknown(encoded)
    if unknown:
        lengths[list(unknown)] = 0
    tokens = sum(lengths.tolist())
    if len(texts) == 1 and tokens:  # a single text is what has to be answered fast, and needs no plan
        filled, batches, padded = [0], 1, tokens
        logits = engine.run(encoded.ids, encoded.type_ids)
    else:
        filled = np.flatnonzero(lengths).tolist()
        logits = np.zeros((len(texts), labels), dtype=np.float32)
        plan = _plan(lengths, filled, engine, token_budget or engine.token_budget)
        for rows in plan:
            logits[rows] = engine.run([encoded.ids[row] for row in rows], [encoded.type_ids[row] for row in rows])
        batches = len(plan)
        padded = sum(len(rows) * int(lengths[rows].max()) for rows in plan) if engine.pads else tokens
    if not np.isfinite(logits).all():
        raise ModelError(
            "the model gave logits that are not finite (NaN or infinite).",
            fix="export the model again, and let the export verify it",
        )
    counters.add(
        texts=len(filled),
        truncated=int(np.count_nonzero(encoded.truncated)),
        empty=sum(texts[row].empty for row in filled),
        tokens=tokens,
        padded_tokens=padded,
        batches=batches,
    )
    return Scored(logits, encoded.truncated, lengths, unknown)


def _plan(lengths: np.ndarray, filled: list[int], engine: Engine, token_budget: int) -> list[list[int]]:
    """Return which of the texts that have tokens run together."""
    some = lengths[filled]
    if not engine.pads:
        return [filled[run] for run in cut_runs(some, token_budget=token_budget)]
    batches = plan_batches(some, token_budget=token_budget, run_price=engine.run_price)
    return [[filled[place] for place in batch.tolist()] for batch in batches]


def windows(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    """Cut an iterator into lists of at most ``size`` entries and of bounded characters; read no further."""
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
