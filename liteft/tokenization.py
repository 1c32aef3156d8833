"""From text to token ids: the one place that does it, for training, data checks and the runtime alike.

It wraps a ``tokenizer.json`` of the tokenizers library, so that ids are the same with and without
transformers. Padding and truncation that somebody baked into the file are taken out (all-MiniLM-L6-v2's pads
every text to 128): nothing here ever pads, and the cut is made at ``max_tokens``, the longer text of a pair
first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from liteft.errors import ModelError

__all__ = ["Encoded", "TextTokenizer", "portable_tokenizer_json"]

_PAD_TOKENS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a list of texts, unpadded.

    Attributes:
        ids: one int32 array of shape (tokens,) a text, special tokens included.
        type_ids: segment ids, same shapes.
        truncated: bool, shape (texts,): True where tokens were cut off.
    """

    ids: list[np.ndarray]
    type_ids: list[np.ndarray]
    truncated: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Token counts, int64, shape (texts,)."""
        return np.fromiter(map(len, self.ids), dtype=np.int64, count=len(self.ids))


class TextTokenizer:
    """A tokenizer with a fixed cut. Thread-safe: its settings never change after construction.

    Args:
        json_text: the content of a tokenizer.json.
        max_tokens: texts are cut to this many tokens, special tokens included.
        truncation_side: "right" drops the end of a text, "left" its beginning.
        pad_id: the id that fills batches; found in the file when None.
        portable: the content has neither padding nor truncation, so nothing needs to be taken out.

    Raises:
        ModelError: the content is no tokenizer, or max_tokens leaves no room for a text.
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
        except BaseException as error:  # the library raises plain Exception; its panics are none
            if not _is_of_library(error):
                raise
            raise ModelError(f"the tokenizer.json cannot be read: {error}.") from error
        special = self._plain.num_special_tokens_to_add(True)
        if max_tokens <= special:
            raise ModelError(
                f"max_tokens={max_tokens} leaves no room for text.",
                accepted={"max_tokens": f"more than {special}, the special tokens of a pair"},
            )
        self.max_tokens = max_tokens
        self.truncation_side = truncation_side
        self.pad_id = self._find_pad() if pad_id is None else pad_id
        self._cutting.enable_truncation(max_tokens, strategy="longest_first", direction=truncation_side)

    @classmethod
    def from_file(
        cls, path: Path, *, max_tokens: int, truncation_side: str = "right", pad_id: int | None = None
    ) -> TextTokenizer:
        """Read a tokenizer.json. Raises ModelError when it is missing or unreadable."""
        try:
            json_text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} cannot be read: {error}.") from error
        return cls(json_text, max_tokens=max_tokens, truncation_side=truncation_side, pad_id=pad_id)

    @property
    def json_text(self) -> str:
        """The tokenizer.json without padding and truncation."""
        return str(self._plain.to_str())

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, added tokens included."""
        return int(self._plain.get_vocab_size(with_added_tokens=True))

    def token_id(self, token: str) -> int | None:
        """Return the id of a token, or None when the vocabulary lacks it."""
        found: int | None = self._plain.token_to_id(token)
        return found

    def token(self, number: int) -> str | None:
        """Return the token of an id, or None when there is no such id."""
        found: str | None = self._plain.id_to_token(number)
        return found

    def tokens(self) -> list[str]:
        """Return all tokens in the order of their ids; "" where an id has none."""
        numbers: dict[str, int] = self._plain.get_vocab(with_added_tokens=True)
        found = [""] * (max(numbers.values()) + 1)
        for token, number in numbers.items():
            found[number] = token
        return found

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Return the ids of texts, or of pairs of texts, cut to ``max_tokens``.

        Args:
            texts: the texts, or the first text of each pair.
            pairs: the second texts, as many, or None.

        Returns:
            Encoded, in order.
        """
        encodings = _encodings(self._cutting, _inputs(texts, pairs))
        return Encoded(
            ids=[np.array(encoding.ids, dtype=np.int32) for encoding in encodings],
            type_ids=[np.array(encoding.type_ids, dtype=np.int32) for encoding in encodings],
            truncated=np.array([bool(encoding.overflowing) for encoding in encodings], dtype=bool),
        )

    def count(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Return the token counts before any cut, special tokens included: int64, shape (texts,)."""
        counts = np.zeros(len(texts), dtype=np.int64)
        chunk = 4096
        for start in range(0, len(texts), chunk):
            part = None if pairs is None else pairs[start : start + chunk]
            encodings = _encodings(self._plain, _inputs(texts[start : start + chunk], part))
            counts[start : start + len(encodings)] = [len(encoding.ids) for encoding in encodings]
        return counts

    def continuations(self) -> np.ndarray:
        """Return which tokens go on with the word before them: bool, shape (vocabulary,).

        WordPiece marks them by "##"; byte-level and sentence pieces mark the beginnings instead. In a vocabulary
        that marks neither, every token is a word.
        """
        pieces = self._plain.get_vocab(with_added_tokens=True)
        found = np.zeros(max(pieces.values()) + 1, dtype=bool)
        added = {token.content for token in self._plain.get_added_tokens_decoder().values()}
        tenth = len(pieces) // 10
        marks = tuple(mark for mark in ("Ġ", "▁") if sum(piece.startswith(mark) for piece in pieces) > tenth)
        for piece, number in pieces.items():
            if piece not in added:
                found[number] = not piece.startswith(marks) if marks else piece.startswith("##")
        return found

    def _find_pad(self) -> int:
        for token in _PAD_TOKENS:
            found = self._plain.token_to_id(token)
            if found is not None:
                return int(found)
        return 0


def portable_tokenizer_json(json_text: str) -> str:
    """Return a tokenizer.json with padding and truncation taken out.

    Raises:
        ValueError: the text is no JSON object.
    """
    content = json.loads(json_text)
    if not isinstance(content, dict):
        raise ValueError("a tokenizer.json holds a JSON object")
    content["padding"] = None
    content["truncation"] = None
    return json.dumps(content, ensure_ascii=False)


def _inputs(texts: Sequence[str], pairs: Sequence[str] | None) -> list[str] | list[tuple[str, str]]:
    return list(texts) if pairs is None else list(zip(texts, pairs, strict=True))


def _encodings(tokenizer: Tokenizer, inputs: list[str] | list[tuple[str, str]]) -> list[Any]:
    try:
        return list(tokenizer.encode_batch_fast(inputs))
    except BaseException as error:  # plain Exception, or a panic
        if not _is_of_library(error):
            raise
        raise ModelError(
            f"the tokenizer failed on one of {len(inputs)} texts: {error}.", fix="export the model again"
        ) from error


def _is_of_library(error: BaseException) -> bool:
    """Say whether it is an error of the tokenizers library, or a panic in it, and no Ctrl-C."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
