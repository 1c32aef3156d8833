"""Texts as token ids in files that are mapped into memory: tokenized once, and read a batch at a time.

A text becomes one sequence, or several of almost equal length if it has more tokens than fit; short texts are not
joined. A folder holds

    tokens.bin     uint16 or uint32 (tokens,): twice the token's id, plus 1 where a word begins; no special tokens
    offsets.bin    int64 (sequences + 1,): sequence i is tokens[offsets[i]:offsets[i + 1]]
    hashes.bin     uint64 (sequences,): hash of the text that the sequence is from
    index.json     the numbers of texts, sequences and tokens, and the share of unknown tokens

A word is what the tokenizer splits no further by rules; in scripts without spaces, such as Chinese, a character, or the
token that covers several.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tokenizers import Tokenizer

from liteft import files
from liteft.errors import DataError

__all__ = ["Sequences", "pack", "read_sequences", "require_text", "word_starts"]

_INDEX = "index.json"
_TEXTS, _CHARACTERS = 1024, 1 << 22  # tokenized at once
_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Sequences:
    """Token ids of a corpus, mapped from files.

    Attributes:
        tokens, offsets, hashes: as the files have them.
        texts: number of texts, parts of very long ones counted alone.
        unknown: share of unknown tokens.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    hashes: np.ndarray
    texts: int
    unknown: float

    def __len__(self) -> int:
        return len(self.hashes)

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of tokens of some sequences, int64."""
        counts: np.ndarray = self.offsets[rows + 1] - self.offsets[rows]
        return counts

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of some sequences one after the other, int64 (tokens,), and where words begin, bool."""
        parts = [self.tokens[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        values = np.concatenate(parts).astype(np.int64)
        return values >> 1, (values & 1).astype(bool)


def require_text(found: bool) -> None:
    """Raise DataError if no text was found."""
    if not found:
        raise DataError(
            "there is no text to learn from.",
            accepted={"texts": "at least two, with a token each"},
            fix="give a file with texts",
        )


def pack(
    texts: Iterable[str], tokenizer: Tokenizer, folder: Path, *, most_tokens: int, unknown: int | None = None
) -> None:
    """Tokenize texts into a folder.

    Args:
        texts: the texts, read once.
        tokenizer: without padding and truncation.
        folder: replaced when all is written.
        most_tokens: of a sequence, special tokens not counted.
        unknown: id of the token for unknown words.

    Raises:
        DataError: no text has a token.
        RunError: the folder cannot be written.
    """
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)  # ids may have gaps
    dtype = np.uint16 if 2 * highest + 1 < 1 << 16 else np.uint32
    counted = np.zeros(4, dtype=np.int64)  # texts, sequences, tokens, unknown tokens
    with files.writing_folder(folder) as new, ExitStack() as stack:
        tokens, offsets, hashes = (_open(stack, new / f"{name}.bin") for name in ("tokens", "offsets", "hashes"))
        offsets.write(np.zeros(1, dtype=np.int64).tobytes())
        for chunk in _chunks(texts):
            encodings = tokenizer.encode_batch(chunk, add_special_tokens=False)  # the fast variant has no words
            for text, encoding in zip(chunk, encodings, strict=True):
                ids = np.array(encoding.ids, dtype=np.int64)
                if not len(ids):
                    continue
                ends = _ends(len(ids), most_tokens)
                tokens.write((2 * ids + word_starts(encoding, text)).astype(dtype).tobytes())
                offsets.write((counted[2] + ends).tobytes())
                hashes.write(np.full(len(ends), _hash(text), dtype=np.uint64).tobytes())
                counted += (1, len(ends), len(ids), 0 if unknown is None else int((ids == unknown).sum()))
        require_text(bool(counted[0]))
        names = ("texts", "sequences", "tokens", "unknown")
        index = dict(zip(names, counted.tolist(), strict=True)) | {"dtype": np.dtype(dtype).name}
        files.write_json(new / _INDEX, index)


def read_sequences(folder: Path) -> Sequences:
    """Map the files that `pack` wrote."""
    index = files.read_json(folder / _INDEX)
    return Sequences(
        np.memmap(folder / "tokens.bin", dtype=index["dtype"], mode="r"),
        np.memmap(folder / "offsets.bin", dtype=np.int64, mode="r"),
        np.memmap(folder / "hashes.bin", dtype=np.uint64, mode="r"),
        index["texts"],
        index["unknown"] / index["tokens"],
    )


def word_starts(encoding: Any, text: str) -> np.ndarray:
    """Return which tokens of a text begin a word: bool (tokens,)."""
    words = np.array([-1 if word is None else word for word in encoding.word_ids], dtype=np.int64)
    found: np.ndarray = np.ones(len(words), dtype=bool)
    found[1:] = (words[1:] != words[:-1]) | (words[1:] < 0)
    if _NO_SPACES.search(text):
        begins = np.array([begin for begin, _ in encoding.offsets], dtype=np.int64)
        alone = np.array([_NO_SPACES.match(text, begin) is not None for begin in begins.tolist()])
        found[1:] |= (alone[1:] | alone[:-1]) & (begins[1:] != begins[:-1])
    return found


def _open(stack: ExitStack, path: Path) -> BinaryIO:
    return stack.enter_context(open(path, "wb"))


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == _TEXTS or characters >= _CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _ends(tokens: int, most: int) -> np.ndarray:
    """Return where the sequences of a text end: as few as possible, of almost equal length. int64 (sequences,)."""
    count = -(-tokens // most)
    return np.arange(1, count + 1, dtype=np.int64) * tokens // count


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
