"""Tokenization, shared by training, data checks and the runtime.

It wraps a ``tokenizer.json`` of the tokenizers library, so that token ids are the same with and without transformers.
Padding and truncation settings in the file are removed (all-MiniLM-L6-v2's pads every text to 128 tokens): nothing here
pads, and texts are truncated to ``max_tokens``, the longer text of a pair first. Long texts are clipped before they are
tokenized (`clipping`) and pairs are joined here (`layout`), so that memory is bounded by what is read of a text.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from liteft.clipping import Clipper
from liteft.encoded import Encoded
from liteft.errors import ModelError, option
from liteft.layout import PairLayout, find_layout, kept_tokens

__all__ = ["TextTokenizer", "portable_tokenizer_json"]

_CHUNK_TEXTS = 4096
_CHUNK_CHARACTERS = 1 << 22  # tokenized at once; the library needs some hundred bytes for each token
_PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")


class TextTokenizer:
    """A tokenizer with fixed truncation. It is thread-safe: its settings never change after construction.

    Args:
        json_text: the content of a tokenizer.json.
        max_tokens: texts are truncated to this many tokens, special tokens included.
        truncation_side: "right" drops the end of a text, "left" its beginning.
        pad_id: id of the padding token; None looks for a usual padding token in the vocabulary.
        portable: the content is known to have neither padding nor truncation settings.

    Raises:
        ModelError: the content is not a tokenizer, or max_tokens leaves no room for a text.
    """

    def __init__(
        self,
        json_text: str,
        *,
        max_tokens: int,
        truncation_side: str = "right",
        pad_id: int | None = None,
        portable: bool = False,
    ) -> None:
        try:
            self._plain = Tokenizer.from_str(json_text if portable else portable_tokenizer_json(json_text))
            self._cutting = Tokenizer.from_str(self._plain.to_str())
        except BaseException as error:  # the library raises plain Exception; its panics derive from BaseException
            if not _is_of_library(error):
                raise
            raise ModelError(
                f"the tokenizer.json cannot be read: {error}.", fix="save the tokenizer again with save_pretrained"
            ) from error
        special = self._plain.num_special_tokens_to_add(True)
        if max_tokens <= special:
            raise ModelError(
                f"max_tokens={max_tokens} leaves no room for text.",
                accepted={"max_tokens": f"more than {special}, the number of special tokens of a pair"},
                fix=option("max_tokens", 128),
            )
        self.max_tokens = max_tokens
        self.truncation_side = truncation_side
        self.pad_id = self._find_pad() if pad_id is None else pad_id
        self._start = max(2048, 16 * max_tokens)  # length in characters from which a text is clipped
        self._cutting.enable_truncation(max_tokens, strategy="longest_first", direction=truncation_side)

    @classmethod
    def from_file(
        cls, path: Path, *, max_tokens: int, truncation_side: str = "right", pad_id: int | None = None
    ) -> TextTokenizer:
        """Return the tokenizer of a tokenizer.json; arguments as for the class.

        Raises:
            ModelError: the file is missing or unreadable, or as for the class.
        """
        try:
            json_text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{path} cannot be read: {error}.", fix="check that the file exists and may be read"
            ) from error
        return cls(json_text, max_tokens=max_tokens, truncation_side=truncation_side, pad_id=pad_id)

    @property
    def json_text(self) -> str:
        """The tokenizer.json without padding and truncation settings."""
        return str(self._plain.to_str())

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, added tokens included."""
        return int(self._plain.get_vocab_size(with_added_tokens=True))

    def token_id(self, token: str) -> int | None:
        """Return the id of a token, or None if it is not in the vocabulary."""
        found: int | None = self._plain.token_to_id(token)
        return found

    def token(self, number: int) -> str | None:
        """Return the token of an id, or None if there is no such id."""
        found: str | None = self._plain.id_to_token(number)
        return found

    def tokens(self) -> list[str]:
        """Return all tokens in the order of their ids; "" for an unused id."""
        numbers: dict[str, int] = self._plain.get_vocab(with_added_tokens=True)
        found = [""] * (max(numbers.values()) + 1)
        for token, number in numbers.items():
            found[number] = token
        return found

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, one_by_one: bool = False) -> Encoded:
        """Return the token ids of texts, or of pairs of texts, truncated to ``max_tokens``.

        Args:
            texts: the texts, or the first text of each pair.
            pairs: the second text of each pair, or None.
            one_by_one: pass single texts to the tokenizers library, which spreads several texts over all cores.

        Returns:
            Encoded, in the order of the texts.

        Raises:
            ModelError: the tokenizers library failed.
        """
        if pairs is None and len(texts) == 1 and len(texts[0]) <= self._start:  # fast path for a single short text
            (one,) = _encodings(self._cutting, [texts[0]])
            cut = np.array([bool(one.overflowing)])
            types = np.array(one.type_ids, dtype=np.int32)
            return Encoded(np.array(one.ids, dtype=np.int32), types, np.array([0, len(types)], dtype=np.int64), cut)
        sides = [texts] if pairs is None else [texts, pairs]
        parts: list[Encoded] = []
        found: list[tuple[list[int], list[int], bool]] = []
        for rows in _chunks(sides, 1 if one_by_one else _CHUNK_TEXTS):
            chosen = [side[rows] for side in sides]
            found += self._pairs(*chosen) if pairs is not None else self._singles(*chosen)
            if len(found) >= _CHUNK_TEXTS:
                parts.append(Encoded.of(*zip(*found, strict=True)))
                found.clear()
        return Encoded.join([*parts, Encoded.of(*zip(*found, strict=True))] if found else parts)

    def count(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Return the numbers of tokens before truncation, special tokens included: int64 (texts,)."""
        sides = [texts] if pairs is None else [texts, pairs]
        counts = np.full(len(texts), self.special_tokens(paired=pairs is not None), dtype=np.int64)
        for side in sides:
            for rows in _chunks([side], _CHUNK_TEXTS):
                part = side[rows]
                if len(part) == 1 and len(part[0]) > self._start:
                    counts[rows] += self._clipper.count(part[0])
                else:
                    counts[rows] += list(map(len, self.encode_alone(part)))
        return counts

    def _singles(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[int], bool]]:
        """Yield the token ids, the type ids and whether it was truncated, for each text."""
        room = self.max_tokens - self.special_tokens(paired=False)
        clipped = [self._clipper.clip(text, room) if len(text) > self._start else text for text in texts]
        for encoding in _encodings(self._cutting, clipped):
            yield encoding.ids, encoding.type_ids, bool(encoding.overflowing)

    def _pairs(self, texts: Sequence[str], pairs: Sequence[str]) -> Iterator[tuple[list[int], list[int], bool]]:
        """Yield the same as `_singles` for each pair; its texts are tokenized separately."""
        layout = self.pair_layout
        if layout is None:
            for encoding in _encodings(self._cutting, list(zip(texts, pairs, strict=True))):
                yield encoding.ids, encoding.type_ids, bool(encoding.overflowing)
            return
        room = self.max_tokens - layout.special_tokens
        whole = list(zip(texts, pairs, strict=True))
        read = [self._clip_pair(*pair, room) if max(map(len, pair)) > self._start else pair for pair in whole]
        sides = [text for pair in read for text in pair]
        batches = [sides] if len(whole) > 1 else [[side] for side in sides]  # a single pair is not spread over cores
        alone = [ids for batch in batches for ids in self.encode_alone(batch)]
        for place, (first, second) in enumerate(zip(alone[::2], alone[1::2], strict=True)):
            kept = self._kept(whole[place], read[place], len(first), len(second), room)
            yield *layout.join(*map(self._cut, (first, second), kept)), sum(kept) < len(first) + len(second)

    def _clip_pair(self, first: str, second: str, room: int) -> tuple[str, str]:
        return self._clipper.clip(first, room), self._clipper.clip(second, room)

    def _kept(
        self, whole: tuple[str, str], read: tuple[str, str], first: int, second: int, room: int
    ) -> tuple[int, int]:
        """Return how many tokens of each clipped text are kept; the whole texts decide which one is longer."""
        kept = kept_tokens(first, second, room)
        if read == whole or min(first, second) <= room or room % 2 == 0:
            return kept
        # both texts were clipped: the longer one keeps one token more
        return (max(kept), min(kept)) if self._clipper.first_is_longer(*whole) else (min(kept), max(kept))

    def _cut(self, ids: list[int], kept: int) -> list[int]:
        return ids[len(ids) - kept :] if self.truncation_side == "left" else ids[:kept]

    def encode_alone(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, without truncation and special tokens.

        Raises:
            ModelError: the tokenizers library failed.
        """
        return [each.ids for each in _encodings(self._plain, list(texts), special=False)]

    def special_tokens(self, *, paired: bool) -> int:
        """Return the number of special tokens around a text, or around a pair."""
        return int(self._plain.num_special_tokens_to_add(paired))

    @functools.cached_property
    def pair_layout(self) -> PairLayout | None:
        """Where texts and special tokens are in a pair; None if pairs do not follow such a layout."""
        try:
            return find_layout(self._plain)
        except BaseException as error:  # plain Exception, or a panic
            if not _is_of_library(error):
                raise
            raise _failed(2, error) from error

    @functools.cached_property
    def _clipper(self) -> Clipper:
        return Clipper(self.json_text, self.encode_alone, side=self.truncation_side, start=self._start)

    def continuations(self) -> np.ndarray:
        """Return which tokens continue the word before them: bool (vocabulary,).

        WordPiece marks them by "##"; byte-level BPE and SentencePiece mark the first token of a word instead. In a
        vocabulary without either mark every token counts as a word.
        """
        vocabulary = self._plain.get_vocab(with_added_tokens=True)
        found = np.zeros(max(vocabulary.values()) + 1, dtype=bool)
        added = {token.content for token in self._plain.get_added_tokens_decoder().values()}
        tenth = len(vocabulary) // 10
        marks = tuple(mark for mark in ("Ġ", "▁") if sum(token.startswith(mark) for token in vocabulary) > tenth)
        for token, number in vocabulary.items():
            if token not in added:
                found[number] = not token.startswith(marks) if marks else token.startswith("##")
        return found

    def _find_pad(self) -> int:
        for token in _PAD_TOKENS:
            found = self._plain.token_to_id(token)
            if found is not None:
                return int(found)
        return 0


def portable_tokenizer_json(json_text: str) -> str:
    """Return a tokenizer.json without padding and truncation settings.

    Raises:
        ValueError: the text is not a JSON object.
    """
    content = json.loads(json_text)
    if not isinstance(content, dict):
        raise ValueError("tokenizer.json must be a JSON object")
    content["padding"] = None
    content["truncation"] = None
    return json.dumps(content, ensure_ascii=False)


def _encodings(tokenizer: Tokenizer, inputs: list[str] | list[tuple[str, str]], *, special: bool = True) -> list[Any]:
    try:
        return list(tokenizer.encode_batch_fast(inputs, add_special_tokens=special))
    except BaseException as error:  # plain Exception, or a panic
        if not _is_of_library(error):
            raise
        raise _failed(len(inputs), error) from error


def _failed(texts: int, error: BaseException) -> ModelError:
    return ModelError(f"the tokenizer failed on one of {texts} texts: {error}.", fix="export the model again")


def _is_of_library(error: BaseException) -> bool:
    """Return whether an exception is an error of the tokenizers library or a panic in it, rather than a Ctrl-C."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _chunks(sides: Sequence[Sequence[str]], most: int) -> Iterator[slice]:
    """Yield slices of texts to tokenize at once, bounded in texts and in characters; a very long text is alone."""
    start = characters = 0
    for place, texts in enumerate(zip(*sides, strict=True)):
        size = sum(map(len, texts))
        if place > start and (place - start >= most or characters + size > _CHUNK_CHARACTERS):
            yield slice(start, place)
            start, characters = place, 0
        characters += size
    if len(sides[0]) > start:
        yield slice(start, len(sides[0]))
