"""What transformers gives for texts that are cut into words, for the comparison in source.py."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from liteft.errors import REPORT, VerificationError, first_line
from liteft.privacy import shown
from liteft.ragged import Ragged
from liteft.tokenization import TextTokenizer
from liteft.windows import WordTokenizer

__all__ = ["check_word_ids", "compared_texts", "split_words", "word_logits_alone"]


class Worded(Protocol):
    """Texts and where their words are: Ragged int32, (words, 2) for each text."""

    @property
    def texts(self) -> list[str]:
        """The texts."""

    @property
    def words(self) -> Ragged | None:
        """Where their words are."""


def split_words(reading: Worded, row: int) -> list[str]:
    """Return the words of one text."""
    assert reading.words is not None
    return [reading.texts[row][start:end] for start, end in reading.words[row].tolist()]


def compared_texts(reading: Worded, theirs: Any, tokenizer: TextTokenizer) -> tuple[np.ndarray, str]:
    """Return the texts that are read alike if words are, int64, or why there are none.

    transformers cuts a long text, and drops a word that its tokenizer makes nothing of, where LiteFT reads windows and
    the unknown token.
    """
    rows = [row for row in range(len(reading.texts)) if split_words(reading, row)]
    try:
        found = theirs([split_words(reading, row) for row in rows], is_split_into_words=True, verbose=False)
    except Exception as error:  # a tokenizer that does not take words, for whatever reason
        return np.zeros(0, dtype=np.int64), first_line(error)
    kept = []
    for place, row in enumerate(rows):
        judged = {word for word in found.word_ids(place) if word is not None}
        if len(found["input_ids"][place]) <= tokenizer.max_tokens and len(judged) == len(split_words(reading, row)):
            kept.append(row)
    return np.array(kept, dtype=np.int64), "" if kept else "transformers drops a word of every text"


def check_word_ids(reading: Worded, theirs: Any, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Check that transformers and LiteFT read the same ids of texts that are cut into words.

    Returns:
        What was compared, for the manifest.

    Raises:
        VerificationError: the ids differ.
    """
    rows, why = compared_texts(reading, theirs, tokenizer)
    if why:
        return {"texts": 0, "ids": f"not compared: {why}"}
    assert reading.words is not None
    windows = WordTokenizer(tokenizer).encode([reading.texts[row] for row in rows], reading.words[rows])
    for row, found in zip(rows, windows.encoded, strict=True):
        expected = theirs(split_words(reading, row), is_split_into_words=True, verbose=False)["input_ids"]
        if expected != found.ids.tolist():
            raise VerificationError(
                "transformers and LiteFT read different ids of a text that is cut into words; nothing was exported.",
                accepted={
                    "text": repr(shown(reading.texts[row])[:70]),
                    "transformers": " ".join(map(str, expected[:12])),
                    "LiteFT": " ".join(map(str, found.ids[:12].tolist())),
                },
                fix=[
                    "write the tokenizer again: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                    REPORT,
                ],
            )
    return {"texts": len(rows), "ids": "equal"}


def word_logits_alone(model: Any, theirs: Any, words: list[str]) -> np.ndarray:
    """Return transformers' logits of the first token of each word of a text: float32 (words, labels)."""
    batch = theirs(words, is_split_into_words=True, return_tensors="pt", verbose=False)
    of_token = batch.word_ids(0)
    first = [of_token.index(word) for word in range(len(words))]
    with torch.inference_mode():
        logits: np.ndarray = model(**batch).logits[0].float().numpy()
    return logits[first]
