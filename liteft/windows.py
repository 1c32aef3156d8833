"""Texts of words as rows of tokens: what a model reads that judges every word.

Each word is tokenized alone, so its tokens depend on no other word, a dictionary holds those of frequent words, and no
offset of a tokenizer is needed: the first token of a word is known, and that token's logits are the word's.

A text of more tokens than the model reads becomes several rows, its windows. The words that a window judges, its core,
are in the middle of it, with context on both sides; the cores of a text tile it, so every word is judged exactly once,
and none is cut off. In the order of texts, rows and cores the words are the same ones in the same order, so labels and
logits of words need no change between texts and windows but other offsets.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liteft.encoded import Encoded
from liteft.errors import ModelError
from liteft.ragged import Ragged, gathered, offsets_of
from liteft.tokenization import TextTokenizer

__all__ = ["WordPieces", "WordTokenizer", "WordWindows", "window_spans"]

_MOST_CHARACTERS = 1000  # of a word that are tokenized; WordPiece reads none beyond 100, it is unknown then
_MOST_KEPT = 1 << 18  # words whose tokens are kept
_LONGEST_KEPT = 64  # characters of a word whose tokens are kept: longer ones are rare, and would fill the memory
_SHOWN = "a"  # a word to see which special tokens are around a text
Span = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class WordWindows:
    """Texts as rows for a model, and where their words are in them.

    Attributes:
        encoded: the rows: a text, or a window of a long one. A text without words has none. ``truncated`` marks rows
            with a word of which some tokens were left out (its first ones are there), or without the marked word.
        places: the first token of each word, as an index into ``encoded.ids``: int64 (words,), words in their order.
        row_words: words before each row's core: int64 (rows + 1,). Row i judges words row_words[i] to row_words[i + 1].
        text_words: words before each text: int64 (texts + 1,).
        text_rows: rows before each text: int64 (texts + 1,).
    """

    encoded: Encoded
    places: np.ndarray
    row_words: np.ndarray
    text_words: np.ndarray
    text_rows: np.ndarray

    def of_texts(self, tokens: np.ndarray) -> Ragged:
        """Return the values of words for each text, from values of all tokens, (tokens, ...)."""
        return Ragged(tokens[self.places], self.text_words)

    def in_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the words that some rows judge, and where their first tokens are in a rectangle of these rows.

        Args:
            rows: numbers of rows, int64.

        Returns:
            Numbers of the words; the place of each one's row among the rows; its token's column: int64 (words,) each.
        """
        counts = self.row_words[rows + 1] - self.row_words[rows]
        words = gathered(self.row_words[rows], offsets_of(counts))
        columns = self.places[words] - np.repeat(self.encoded.offsets[rows], counts)
        return words, np.repeat(np.arange(len(rows)), counts), columns

    @property
    def text_of_row(self) -> np.ndarray:
        """The text of each row: int64 (rows,)."""
        return np.repeat(np.arange(len(self.text_rows) - 1), self.text_rows[1:] - self.text_rows[:-1])

    @property
    def truncated(self) -> np.ndarray:
        """Texts of which the model has not read all that it should, in some row: bool (texts,).

        Of a word some tokens were left out, or a row of a long text is without the text's marked word.
        """
        before = offsets_of(self.encoded.truncated)
        return np.asarray(before[self.text_rows[1:]] > before[self.text_rows[:-1]])


class WordTokenizer:
    """Turns texts of words into rows of tokens. Thread-safe.

    Args:
        tokenizer: of the model; ``max_tokens`` of it is the length of a window, special tokens included.
        types: how a marked word is shown to the model: by the type id 1, or, if the model has no types, by a star
            before and after it.

    Raises:
        ModelError: the tokenizer does not put its special tokens around a text, or leaves no room between them.
    """

    def __init__(self, tokenizer: TextTokenizer, *, types: bool = True) -> None:
        self._pieces = WordPieces(tokenizer)
        self._types = types
        ids = tokenizer.encode([_SHOWN]).ids.tolist()
        alone = tokenizer.encode_alone([_SHOWN])[0]
        before = next((at for at in range(len(ids)) if ids[at : at + len(alone)] == alone and alone), None)
        if before is None:
            raise ModelError(
                "the tokenizer gives other tokens for a word alone than in a text, so words cannot be found.",
                accepted={"a tokenizer": "WordPiece, byte-level BPE or Unigram, with special tokens around the text"},
                fix="another base",
            )
        self._first, self._last = ids[:before], ids[before + len(alone) :]
        self._room = tokenizer.max_tokens - len(self._first) - len(self._last)
        if self._room < 4:
            raise ModelError(
                f"max_tokens={tokenizer.max_tokens} leaves room for {self._room} tokens of a text in words.",
                accepted={"max_tokens": f"{4 + len(self._first) + len(self._last)} or more"},
                fix="max_tokens=128",
            )

    @property
    def special_tokens(self) -> int:
        """Number of special tokens of each row."""
        return len(self._first) + len(self._last)

    def encode(self, texts: Sequence[str], words: Ragged, *, marked: np.ndarray | None = None) -> WordWindows:
        """Return texts as rows of tokens.

        Args:
            texts: the texts.
            words: begin and end of their words in code points, (words, 2) for each text; the words must be in order.
            marked: the word of each text that is marked, counted from 0, -1 for none: int64 (texts,); None for none at
                all.

        Raises:
            ModelError: the tokenizers library failed.
        """
        pieces = self._pieces.of(texts, words)
        starred = np.zeros(len(pieces), dtype=np.int64)
        if marked is not None and not self._types:
            starred[_marked_words(words, marked)] = 1
            for word in np.flatnonzero(starred).tolist():
                pieces[word] = (self._pieces.star, *pieces[word], self._pieces.star)
        counts = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
        most = max(1, self._room // 4)  # so a word and its context fit into a window
        cut = counts > most
        if cut.any():  # texts that fit into one row keep all tokens
            totals = offsets_of(counts)[words.offsets]
            cut &= np.repeat(totals[1:] - totals[:-1] > self._room, words.lengths)
            for word in np.flatnonzero(cut).tolist():
                pieces[word] = pieces[word][:most]
            counts = np.where(cut, most, counts)
        cut |= words.values[:, 1] - words.values[:, 0] > _MOST_CHARACTERS
        before = offsets_of(counts)  # tokens of words before each word
        spans, text_rows = _all_spans(words.offsets, before, counts, self._room)
        rows = np.array(spans, dtype=np.int64).reshape(-1, 4)
        flat = np.fromiter(itertools.chain.from_iterable(pieces), dtype=np.int32, count=int(before[-1]))
        starts = before[rows[:, 0]]
        own = before[rows[:, 1]] - starts
        offsets = offsets_of(own + self.special_tokens)
        ids = np.empty(int(offsets[-1]), dtype=np.int32)
        inner = gathered(offsets[:-1] + len(self._first), offsets_of(own))
        source = gathered(starts, offsets_of(own))
        ids[inner] = flat[source]
        for at, special in enumerate(self._first):
            ids[offsets[:-1] + at] = special
        for at, special in enumerate(reversed(self._last), 1):
            ids[offsets[1:] - at] = special
        types = np.zeros(len(ids), dtype=np.int32)
        if marked is not None and self._types:
            types[inner] = _marks(words, marked, counts)[source]
        some = offsets_of(cut)
        truncated = some[rows[:, 1]] > some[rows[:, 0]]
        if marked is not None:
            truncated |= _without_mark(rows, text_rows, words, marked)
        row_words = np.append(rows[:, 2], words.offsets[-1])
        shift = np.repeat(offsets[:-1] + len(self._first) - starts, row_words[1:] - row_words[:-1])
        return WordWindows(
            Encoded(ids, types, offsets, truncated), before[:-1] + shift + starred, row_words, words.offsets, text_rows
        )


class WordPieces:
    """The tokens of words, each tokenized alone; those of frequent words are kept. Thread-safe.

    Args:
        tokenizer: of the model.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._kept: dict[str, tuple[int, ...]] = {}

    def of(self, texts: Sequence[str], words: Ragged) -> list[tuple[int, ...]]:
        """Return the tokens of each word of some texts, one token at least; words as for `WordTokenizer.encode`."""
        spelled = self._spelled(texts, words)
        kept = self._kept
        found = [kept.get(word) for word in spelled]
        unknown = list(dict.fromkeys(word for word, piece in zip(spelled, found, strict=True) if piece is None))
        if not unknown:
            return found  # type: ignore[return-value]  # none of them is None
        read = self._read(unknown)
        if len(kept) + len(read) > _MOST_KEPT:
            self._kept = kept = {}
        frequent = ((word, piece) for word, piece in read.items() if len(word) <= _LONGEST_KEPT)
        kept.update(itertools.islice(frequent, _MOST_KEPT))
        return [read[word] if piece is None else piece for word, piece in zip(spelled, found, strict=True)]

    def _read(self, words: list[str]) -> dict[str, tuple[int, ...]]:
        """Return the tokens of words; those of a word that has none are the unknown token."""
        found = self._words.encode_alone([word[:_MOST_CHARACTERS] for word in words])
        return {word: tuple(ids) or self._nothing for word, ids in zip(words, found, strict=True)}

    def _spelled(self, texts: Sequence[str], words: Ragged) -> list[str]:
        """Return the words as the tokenizer is given them: with a space before, if that is a part of its tokens."""
        bounds, at = words.values.tolist(), words.offsets.tolist()
        if not self._spaces:
            return [
                text[start:end]
                for text, first, last in zip(texts, at, at[1:], strict=False)
                for start, end in bounds[first:last]
            ]
        spelled = []
        for text, first, last in zip(texts, at, at[1:], strict=False):
            for start, end in bounds[first:last]:
                spaced = text[start - 1].isspace() if start else self._space_first
                spelled.append(f" {text[start:end]}" if spaced else text[start:end])
        return spelled

    @functools.cached_property
    def _nothing(self) -> tuple[int, ...]:
        """The tokens of a word that has none, such as one of control characters alone."""
        for token in ("[UNK]", "<unk>", "<|endoftext|>"):
            found = self._tokenizer.token_id(token)
            if found is not None:
                return (found,)
        return (self._tokenizer.pad_id,)

    @functools.cached_property
    def star(self) -> int:
        """The token that stands before and after a marked word."""
        (star,) = self._words.encode_alone(["*"])
        return star[-1] if star else self._nothing[0]

    @functools.cached_property
    def _splitter(self) -> list[dict[str, object]]:
        """The steps of the tokenizer.json that cut a text into words."""
        step = json.loads(self._tokenizer.json_text).get("pre_tokenizer") or {}
        steps: list[dict[str, object]] = step.get("pretokenizers", []) if step.get("type") == "Sequence" else [step]
        return steps

    @functools.cached_property
    def _spaces(self) -> bool:
        """Whether a space before a word is a part of its tokens."""
        return any(step.get("type") in ("ByteLevel", "Metaspace") for step in self._splitter)

    @functools.cached_property
    def _space_first(self) -> bool:
        """Whether a text's first word is read as if a space were before it."""
        return any(step.get("add_prefix_space") or step.get("prepend_scheme") in ("always", "first")
                   for step in self._splitter)  # fmt: skip

    @functools.cached_property
    def _words(self) -> TextTokenizer:
        """The tokenizer for words alone: it puts no space before them by itself."""
        if not self._spaces:
            return self._tokenizer
        content = json.loads(self._tokenizer.json_text)
        steps = [
            {**step, **({"add_prefix_space": False} if step["type"] == "ByteLevel" else {}),
             **({"prepend_scheme": "never"} if step["type"] == "Metaspace" else {})}
            for step in self._splitter
        ]  # fmt: skip
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            step for step in steps if step["type"] != "WhitespaceSplit"  # it would take the space away
        ]}  # fmt: skip
        return TextTokenizer(json.dumps(content), max_tokens=self._tokenizer.max_tokens, pad_id=self._tokenizer.pad_id)


def window_spans(counts: Sequence[int], room: int) -> list[Span]:
    """Return the windows of a text: its words first to last are read, and its words core to core_end are judged.

    Of the room a quarter is context before the core, and a quarter after it, as far as there are words.

    Args:
        counts: tokens of each word; at most a quarter of the room, and one at least.
        room: tokens of a window.

    Returns:
        (first, last, core, core_end) of each window, ends exclusive; the cores tile the text.
    """
    before = offsets_of(counts)
    context, words, spans, core = room // 4, len(counts), [], 0
    while core < words:
        first = int(np.searchsorted(before, before[core] - context))
        last = int(np.searchsorted(before, before[first] + room, side="right")) - 1
        end = words
        if last < words:
            end = max(core + 1, int(np.searchsorted(before, before[last] - context, side="right")) - 1)
        spans.append((first, last, core, end))
        core = end
    return spans


def _all_spans(
    text_words: np.ndarray, before: np.ndarray, counts: np.ndarray, room: int
) -> tuple[list[Span], np.ndarray]:
    """Return the windows of all texts, words counted over all of them; and the rows before each text."""
    spans: list[Span] = []
    rows = []
    bounds, tokens = text_words.tolist(), before[text_words].tolist()
    for text, (first, last) in enumerate(itertools.pairwise(bounds)):
        own: list[Span] = []
        if last > first:
            own = [(first, last, first, last)]
            if tokens[text + 1] - tokens[text] > room:
                inside = window_spans(counts[first:last].tolist(), room)
                own = [(first + a, first + b, first + c, first + d) for a, b, c, d in inside]
        spans += own
        rows.append(len(own))
    return spans, offsets_of(rows)


def _marks(words: Ragged, marked: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the type ids of all words' tokens: 1 for those of each text's marked word, int32 (tokens,)."""
    types = np.zeros(len(counts), dtype=np.int32)
    types[_marked_words(words, marked)] = 1
    return np.repeat(types, counts)


def _without_mark(rows: np.ndarray, text_rows: np.ndarray, words: Ragged, marked: np.ndarray) -> np.ndarray:
    """Return the rows in which the text's marked word is not, of texts that have one: bool (rows,).

    Args:
        rows: the windows of all texts, each a `Span`.
        text_rows: the rows before each text.
        words, marked: as for `WordTokenizer.encode`.
    """
    counts = text_rows[1:] - text_rows[:-1]
    place = np.repeat(np.where(marked < 0, -1, words.offsets[:-1] + marked), counts)
    return (place >= 0) & ((place < rows[:, 0]) | (place >= rows[:, 1]))


def _marked_words(words: Ragged, marked: np.ndarray) -> np.ndarray:
    """Return the marked words, counted over all texts: int64."""
    has = marked >= 0
    return np.asarray(words.offsets[:-1][has] + marked[has])
