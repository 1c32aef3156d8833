"""Augmentation: slightly changed copies of texts, labelled by the teacher.

A teacher can label any text, so a student can learn from more texts than the training set has. "mask" masks each word
with probability 0.1; "ngram" keeps a random sequence of consecutive words. About half of the rows of a batch stay
unchanged. A copy depends on (seed, epoch, row) alone, so a resumed run sees the same copies.

Source: Tang et al. 2019, section 3.3 (masking, n-gram sampling), arXiv:1903.12136; fresh copies and a teacher that
sees the same ones: Beyer et al. 2022, section 3.1, arXiv:2106.05237.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from torch import Tensor

from liteft.encoded import Encoded
from liteft.errors import ConfigError, option
from liteft.finetuning.batches import Collator
from liteft.finetuning.logits import pad_batch
from liteft.tokenization import TextTokenizer

__all__ = ["MASKED", "MASK_TOKENS", "SHARE", "Augmentation", "AugmentingCollator", "augmented"]

Augmentation = Literal["mask", "ngram"]
SHARE = 0.5
MASKED = 0.1
MASK_TOKENS = ("[MASK]", "<mask>", "[UNK]", "<unk>")


class AugmentingCollator(Collator):
    """Collates a split's rows, about half of them as augmented copies.

    Args:
        plain: the rows as they are. If it has ``live``, bool (texts,), only these rows are changed.
        kind: "mask" or "ngram".
        tokenizer: knows which tokens begin a word.
        seed: of the augmentation.
        epoch: returns the current epoch; called for each batch.

    Raises:
        ConfigError: n-grams of pairs, a vocabulary without a mask token, or a tokenizer that does not put a special
            token at each end of a text.
    """

    def __init__(
        self, plain: Collator, *, kind: Augmentation, tokenizer: TextTokenizer, seed: int, epoch: Callable[[], int]
    ) -> None:
        super().__init__(plain.reading, plain.labels, pad_id=plain.pad_id, types=plain.types, extras=plain.extras)
        self.kind = kind
        self.seed = seed
        self.epoch = epoch
        if tokenizer.count([""])[0] != 2:
            raise ConfigError(
                "augmentation needs a tokenizer that puts a special token at either end of a text, as encoders have.",
                accepted={"augmentation": "none"},
                fix=option("student.augmentation", "none"),
            )
        mask = next((found for name in MASK_TOKENS if (found := tokenizer.token_id(name)) is not None), None)
        if kind == "mask" and mask is None:
            raise ConfigError(
                "the vocabulary has no token to mask words with.",
                accepted={"augmentation": "none, ngram"},
                fix=option("student.augmentation", "none"),
            )
        if kind == "ngram" and plain.encoded.type_ids.any():
            raise ConfigError(
                "n-gram augmentation does not work for pairs of texts.",
                accepted={"augmentation": "none, mask"},
                fix=option("student.augmentation", "mask"),
            )
        self.mask_id = -1 if mask is None else mask
        self.continues = tokenizer.continuations()

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        """Return the batch, with augmented texts in place of some rows."""
        epoch, live = self.epoch(), self.extras.get("live")
        ids, type_ids = [], []
        for row in rows:
            random = np.random.default_rng([self.seed, epoch, row])
            text = self.encoded[row]
            plain, types = text.ids, text.type_ids
            if (live is None or live[row]) and random.random() < SHARE:
                plain, types = augmented(
                    plain, types, kind=self.kind, mask_id=self.mask_id, continues=self.continues, random=random
                )
            ids.append(plain)
            type_ids.append(types)
        batch = super().__call__(rows)
        encoded = Encoded.of(ids, type_ids)
        return batch | pad_batch(encoded, range(len(ids)), pad_id=self.pad_id, types=self.types)


def augmented(
    ids: np.ndarray,
    type_ids: np.ndarray,
    *,
    kind: Augmentation,
    mask_id: int,
    continues: np.ndarray,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids and type ids of an augmented copy of a text.

    Args:
        ids: int32 (tokens,), with a special token at each end.
        type_ids: int32 (tokens,).
        kind: "mask": every word is replaced by ``mask_id`` with probability 0.1, one token for the whole word;
            "ngram": consecutive words, of random number and place.
        mask_id: id of the mask token.
        continues: bool (vocabulary,), True for tokens that continue a word.
        random: the generator to draw from.
    """
    inner = ids[1:-1]
    if len(inner) == 0:
        return ids, type_ids
    starts = ~continues[inner]
    starts[0] = True
    word = np.cumsum(starts) - 1
    words = int(word[-1]) + 1
    if kind == "ngram":
        length = int(random.integers(1, words + 1))
        first = int(random.integers(0, words - length + 1))
        kept = (word >= first) & (word < first + length)
        changed = inner
    else:
        hidden = (random.random(words) < MASKED)[word]
        hidden &= inner != ids[-1]  # the separator between the texts of a pair stays
        kept = ~hidden | starts
        changed = np.where(hidden, mask_id, inner).astype(ids.dtype)
    whole = np.concatenate([[True], kept, [True]])
    return np.concatenate([ids[:1], changed, ids[-1:]])[whole], type_ids[whole]
