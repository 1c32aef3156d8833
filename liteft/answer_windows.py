"""Questions and their contexts as rows of tokens: what a model reads that finds answers.

A row is a pair, the question first, of a context all words or a window of them. The windows of a long context overlap,
by 128 tokens usually, so that a shorter answer is whole in one of them.

What a model judges are units: the first token of a row, for "no answer here", and the words of its window. As in
`liteft.windows` each word is tokenized alone, so that its first and last token are known, and so is its place in the
context, whatever the tokenizer does to a text.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import BEGIN, AnswerForm, pack
from liteft.encoded import Encoded
from liteft.errors import ModelError
from liteft.ragged import Ragged, gathered, offsets_of
from liteft.tokenization import TextTokenizer
from liteft.windows import WordPieces
from liteft.words import words_of_texts

__all__ = ["AnswerTokenizer", "AnswerWindows", "overlapping_spans"]

_MOST_CHARACTERS = 4096  # of a question that are tokenized
_LEAST_ROOM = 8


@dataclass(frozen=True, slots=True, eq=False)
class AnswerWindows:
    """Questions with their contexts as rows for a model, and where the units that it judges are in them.

    Attributes:
        encoded: the rows, of which every question has one at least. ``truncated`` marks rows whose question was cut,
            or with a word of which some tokens were left out.
        unit_first: the first token of each unit, as an index into ``encoded.ids``: int64 (units,).
        unit_last: its last token: int64 (units,).
        row_units: units before each row: int64 (rows + 1,).
        text_rows: rows before each question: int64 (texts + 1,).
        begin: where each unit begins in its context, in code points, -1 for the first of a row: int32 (units,).
        stop: where it ends, exclusive; -1 for the first of a row: int32 (units,).
        tokens: tokens of each unit: int64 (units,).
        row_words: the word of its context with which each row begins: int64 (rows,).
        words: begin and end of the words of the distinct contexts: Ragged int32, (words, 2) for each.
        contexts: the number of each question's context among the distinct ones: int64 (texts,).
        form: how the model decides.
    """

    encoded: Encoded
    unit_first: np.ndarray
    unit_last: np.ndarray
    row_units: np.ndarray
    text_rows: np.ndarray
    begin: np.ndarray
    stop: np.ndarray
    tokens: np.ndarray
    row_words: np.ndarray
    words: Ragged
    contexts: np.ndarray
    form: AnswerForm

    @property
    def text_of_row(self) -> np.ndarray:
        """The question of each row: int64 (rows,)."""
        return np.repeat(np.arange(len(self.text_rows) - 1), self.text_rows[1:] - self.text_rows[:-1])

    @property
    def text_units(self) -> np.ndarray:
        """Units before each question: int64 (texts + 1,)."""
        return np.asarray(self.row_units[self.text_rows])

    @property
    def truncated(self) -> np.ndarray:
        """Questions with a row of which tokens were left out: bool (texts,)."""
        before = offsets_of(self.encoded.truncated)
        return np.asarray(before[self.text_rows[1:]] > before[self.text_rows[:-1]])

    def of_texts(self, tokens: np.ndarray) -> Ragged:
        """Return the packed form of questions (`answer_spans`), from the logits of all tokens, (tokens, 2)."""
        return self.packed(tokens[self.unit_first, 0], tokens[self.unit_last, 1])

    def packed(self, start: np.ndarray, end: np.ndarray) -> Ragged:
        """Return the packed form from start and end logits of all units, float (units,) each."""
        return self.form.settled(pack(start, end, self.begin, self.stop, self.tokens, self.text_units))

    def taught(self, logits: Ragged) -> np.ndarray | None:
        """Return the start and end logits of a packed form, (units, 2); None if it is not one of these units."""
        own = np.stack([self.begin, self.stop, self.tokens], axis=1).astype(np.float32)
        same = np.array_equal(logits.offsets, self.text_units)
        if same:
            differs = own != logits.values[:, BEGIN:]
            differs[self.begin < 0, -1] = False  # the limit of an answer
            same = not differs.any()
        return logits.values[:, :BEGIN] if same else None

    def in_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the units of some rows, and where their tokens are in a rectangle of these rows.

        Args:
            rows: numbers of rows, int64.

        Returns:
            Numbers of the units; the place of each one's row among the rows; the columns of its first and its last
            token: int64 (units,) each.
        """
        counts = self.row_units[rows + 1] - self.row_units[rows]
        units = gathered(self.row_units[rows], offsets_of(counts))
        starts = np.repeat(self.encoded.offsets[rows], counts)
        places = np.repeat(np.arange(len(rows)), counts)
        return units, places, self.unit_first[units] - starts, self.unit_last[units] - starts

    def targets(self, labels: AnswerLabels) -> np.ndarray:
        """Return what each row is to answer: its first and last unit, 0 and 0 for no answer, int64 (rows, 2).

        A row whose window has the question's first answer as a whole is to find it, widened to whole words; others are
        to say that there is none.

        Args:
            labels: the answers of these questions.
        """
        first, last, _ = self.answer_words(labels)
        has = labels.answered
        chosen = np.full((len(has), 2), -1, dtype=np.int64)
        answers = labels.offsets[:-1][has]
        chosen[has] = np.stack([first[answers], last[answers]], axis=1)
        units = chosen[self.text_of_row] - self.row_words[:, None] + 1
        counts = self.row_units[1:] - self.row_units[:-1]
        whole = (units[:, 0] >= 1) & (units[:, 1] < counts) & (units[:, 1] >= units[:, 0])
        whole &= chosen[self.text_of_row, 0] >= 0
        return np.where(whole[:, None], units, 0)

    def target_tokens(self, targets: np.ndarray) -> np.ndarray:
        """Return how many tokens the answers have that rows are to find: int64 (answers,).

        Args:
            targets: of `targets`.
        """
        rows = np.flatnonzero(targets[:, 0] > 0)
        first, last = (self.row_units[rows] + targets[rows, side] for side in (0, 1))
        return np.asarray(self.unit_last[last] - self.unit_first[first] + 1)

    def answer_words(self, labels: AnswerLabels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the words that the answers of these questions are in.

        Returns:
            The first and the last word of each answer, numbers within its context, int64 (answers,) each, the last one
            before the first if an answer has no word; and which answers do not begin and end with a word, bool
            (answers,).
        """
        context = self.contexts[labels.row_numbers]
        base = self.words.offsets[context]
        # one ascending array for all contexts: each gets a range of code points of its own
        wide = 1 + max(int(self.words.values.max(initial=0)), int(labels.values.max(initial=0)))
        shift = self.words.row_numbers * wide
        starts, stops = (self.words.values[:, side].astype(np.int64) + shift for side in (0, 1))
        begin, end = (labels.values[:, side] + context * wide for side in (0, 1))
        first = np.searchsorted(stops, begin, side="right")
        last = np.searchsorted(starts, end, side="left") - 1
        some = last >= first
        exact = np.zeros(len(first), dtype=bool)
        exact[some] = (starts[first[some]] == begin[some]) & (stops[last[some]] == end[some])
        return first - base, last - base, ~exact


class AnswerTokenizer:
    """Turns questions and their contexts into rows of tokens. Thread-safe.

    Args:
        tokenizer: of the model; ``max_tokens`` of it is the length of a row, special tokens included.
        form: how questions are read: a stride, as transformers and SQuAD's scripts count it, of at most half of what a
            window holds, and a ``max_question`` of at most half of the row.

    Raises:
        ModelError: the tokenizer does not put special tokens before and between the texts of a pair, or leaves no room
            for them.
    """

    def __init__(self, tokenizer: TextTokenizer, form: AnswerForm | None = None) -> None:
        self.form = form or AnswerForm()
        layout = tokenizer.pair_layout
        order = [] if layout is None else [text for text, *_ in layout.parts]
        if layout is None or order not in ([None, 0, None, 1, None], [None, 0, None, 1]):
            raise ModelError(
                "the tokenizer does not write a pair as special tokens, a text, special tokens and a text.",
                accepted={"pairs": "such as [CLS] question [SEP] context [SEP]"},
                fix="another base, such as a BERT, RoBERTa or DeBERTa",
            )
        self._parts = [(ids, types) for text, ids, types in layout.parts if text is None]
        self._types = [types[0] for text, _, types in layout.parts if text is not None]
        room = tokenizer.max_tokens - layout.special_tokens
        if room < _LEAST_ROOM:
            raise ModelError(
                f"max_tokens={tokenizer.max_tokens} leaves room for {room} tokens of a question and its context.",
                accepted={"max_tokens": f"{_LEAST_ROOM + layout.special_tokens} or more"},
                fix="max_tokens=384",
            )
        self._tokenizer = tokenizer
        self._pieces = WordPieces(tokenizer)
        self._room = room
        self._most_question = min(self.form.max_question, room // 2)
        least = room - self._most_question
        self._most_word = max(1, least // 4)
        self._stride = min(self.form.stride, least // 2)

    def encode(self, questions: Sequence[str], contexts: Sequence[str]) -> AnswerWindows:
        """Return questions and their contexts as rows of tokens.

        Raises:
            ModelError: the tokenizers library failed.
        """
        asked, cut_question = self._questions(questions)
        known = {text: number for number, text in enumerate(dict.fromkeys(contexts))}
        number = np.array([known[text] for text in contexts], dtype=np.int64)
        words = words_of_texts(list(known))
        pieces = self._pieces.of(list(known), words)
        counts = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
        cut = counts > self._most_word
        if cut.any():
            pieces = [piece[: self._most_word] for piece in pieces]
            counts = np.minimum(counts, self._most_word)
        before = offsets_of(counts)
        rows, text_rows = self._windows(words.offsets, before, number, asked.lengths)
        flat = np.fromiter(itertools.chain.from_iterable(pieces), dtype=np.int32, count=int(before[-1]))
        text = np.repeat(np.arange(len(number)), text_rows[1:] - text_rows[:-1])
        ids, types, offsets, inner = self._joined(asked, text, flat, before[rows])
        some = offsets_of(cut)
        encoded = Encoded(ids, types, offsets, cut_question[text] | (some[rows[:, 1]] > some[rows[:, 0]]))
        unit_rows, unit_words = _units(rows)
        word = unit_words >= 0
        first = offsets[:-1][unit_rows]
        chosen = unit_words[word]
        first[word] = inner[unit_rows[word]] + before[chosen] - before[rows[unit_rows[word], 0]]
        tokens = np.ones(len(first), dtype=np.int64)
        tokens[word] = counts[chosen]
        spans = np.full((len(first), 2), -1, dtype=np.int32)
        spans[word] = words.values[chosen]
        return AnswerWindows(
            encoded=encoded,
            unit_first=first,
            unit_last=first + tokens - 1,
            row_units=offsets_of(1 + rows[:, 1] - rows[:, 0]),
            text_rows=text_rows,
            begin=spans[:, 0],
            stop=spans[:, 1],
            tokens=tokens,
            row_words=rows[:, 0] - words.offsets[number[text]],
            words=words,
            contexts=number,
            form=self.form,
        )

    def _questions(self, questions: Sequence[str]) -> tuple[Ragged, np.ndarray]:
        """Return the tokens of each question, int32, without special ones, and which were cut: bool (texts,)."""
        read = [question[:_MOST_CHARACTERS] for question in questions]
        found = self._tokenizer.encode_alone(read)
        most = self._most_question
        cut = [
            len(ids) > most or len(question) > _MOST_CHARACTERS for ids, question in zip(found, questions, strict=True)
        ]
        return Ragged.of([ids[:most] for ids in found], np.int32), np.array(cut, dtype=bool)

    def _windows(
        self, context_words: np.ndarray, before: np.ndarray, number: np.ndarray, asked: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of all questions.

        Args:
            context_words: words before each distinct context: int64 (contexts + 1,).
            before: tokens of words before each word: int64 (words + 1,).
            number: the context of each question: int64 (texts,).
            asked: tokens of each question: int64 (texts,).

        Returns:
            The first word of each window and the one after its last, counted over all contexts: int64 (rows, 2); rows
            before each question: int64 (texts + 1,).
        """
        found: list[tuple[int, int]] = []
        counts = []
        cached: dict[tuple[int, int], list[tuple[int, int]]] = {}
        bounds, tokens = context_words.tolist(), before[context_words].tolist()
        for context, room in zip(number.tolist(), (self._room - asked).tolist(), strict=True):
            first, last = bounds[context], bounds[context + 1]
            spans = [(first, last)]
            if tokens[context + 1] - tokens[context] > room:
                if (context, room) not in cached:
                    own = overlapping_spans(before[first : last + 1] - before[first], room, self._stride)
                    cached[context, room] = [(first + start, first + end) for start, end in own]
                spans = cached[context, room]
            found += spans
            counts.append(len(spans))
        return np.array(found, dtype=np.int64).reshape(-1, 2), offsets_of(counts)

    def _joined(
        self, asked: Ragged, text: np.ndarray, flat: np.ndarray, bounds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the tokens of all rows.

        Args:
            asked: the tokens of each question.
            text: the question of each row: int64 (rows,).
            flat: the tokens of all words: int32 (tokens,).
            bounds: the tokens of each row's window, first and last exclusive, in ``flat``: int64 (rows, 2).

        Returns:
            ids and type ids, int32 (tokens,) each; tokens before each row, int64 (rows + 1,); where the tokens of its
            window begin: int64 (rows,).
        """
        own, asks = bounds[:, 1] - bounds[:, 0], asked.lengths[text]
        offsets = offsets_of(own + asks + sum(len(ids) for ids, _ in self._parts))
        ids = np.empty(int(offsets[-1]), dtype=np.int32)
        types = np.empty(len(ids), dtype=np.int32)
        at = offsets[:-1].copy()
        inner = at
        parts = [*self._parts, ((), ())] if len(self._parts) == 2 else self._parts
        texts = [(asked.values, asked.offsets[:-1][text], asks), (flat, bounds[:, 0], own)]
        for side, (special, kinds) in enumerate(parts):
            for token, kind in zip(special, kinds, strict=True):
                ids[at], types[at] = token, kind
                at = at + 1
            if side < 2:
                source, starts, lengths = texts[side]
                inner, within = at, offsets_of(lengths)
                places = gathered(at, within)
                ids[places], types[places] = source[gathered(starts, within)], self._types[side]
                at = at + lengths
        return ids, types, offsets, inner


def overlapping_spans(before: np.ndarray, room: int, stride: int) -> list[tuple[int, int]]:
    """Return the windows of a context as its first word and the one after its last; each ends after the one before it.

    Args:
        before: tokens before each word, and of all words: int64 (words + 1,); a word has at most a quarter of the room.
        room: tokens of a window.
        stride: tokens, at least, that a window shares with the one before it; at most half of the room.
    """
    spans, first, words = [], 0, len(before) - 1
    while True:
        last = int(np.searchsorted(before, before[first] + room, side="right")) - 1
        spans.append((first, last))
        if last >= words:
            return spans
        first = max(first + 1, int(np.searchsorted(before, before[last] - stride, side="right")) - 1)


def _units(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row of each unit, and its word, counted over all contexts, -1 for a row's first: int64 (units,)."""
    offsets = offsets_of(1 + rows[:, 1] - rows[:, 0])
    units = gathered(rows[:, 0] - 1, offsets)
    units[offsets[:-1]] = -1
    return np.repeat(np.arange(len(rows)), offsets[1:] - offsets[:-1]), units
