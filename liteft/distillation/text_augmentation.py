"""Augmentation for a teacher and a student with different tokenizers.

Token ids that augmentation.py has changed mean nothing to a model with another vocabulary. Here words are masked, or
some consecutive ones kept, in the text itself. Teacher and student then tokenize the result, so that both read the
same text in their own ids. Shares and probabilities are those of augmentation.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from liteft.data import Split
from liteft.distillation.augmentation import MASK_TOKENS, MASKED, SHARE, Augmentation
from liteft.errors import ConfigError, option
from liteft.finetuning.batches import Collator
from liteft.finetuning.logits import pad_batch
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.tokenization import TextTokenizer

__all__ = ["TEACHER_PREFIX", "TextAugmentingCollator", "augmented_text"]

TEACHER_PREFIX = "teacher_"
_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
# A Chinese character is a word of its own, as BERT's tokenizers have it; so is a punctuation mark.
_WORD = re.compile(rf"[{_CHINESE}]|(?:(?![{_CHINESE}])[\w\u0300-\u036f])+|\S")


class TextAugmentingCollator(Collator):
    """Collates a split's rows for the student, about half of them as augmented copies, and the same for the teacher.

    A batch has the keys of Collator's, and ``teacher_input_ids``, ``teacher_attention_mask`` and, if the teacher uses
    them, ``teacher_token_type_ids``: int64, shape (texts, tokens of the longest text for the teacher).

    Args:
        plain: the rows as the student reads them. If it has ``live``, bool (texts,), only these rows are changed.
        split: their texts.
        kind: "mask" or "ngram".
        student: tokenizes the texts with its own tokenizer.
        teacher: does the same with its own; None for a control.
        seed: of the augmentation.
        epoch: returns the current epoch; called for each batch.

    Raises:
        ConfigError: n-grams of pairs, or a vocabulary without a mask token that can be written in a text.
    """

    def __init__(
        self,
        plain: Collator,
        split: Split,
        *,
        kind: Augmentation,
        student: TorchClassifier,
        teacher: TorchClassifier | None,
        seed: int,
        epoch: Callable[[], int],
    ) -> None:
        super().__init__(plain.reading, plain.labels, pad_id=plain.pad_id, types=plain.types, extras=plain.extras)
        if kind == "ngram" and split.pairs is not None:
            raise ConfigError(
                "n-gram augmentation does not work for pairs of texts.",
                accepted={"augmentation": "none, mask"},
                fix=option("student.augmentation", "mask"),
            )
        self.split = split
        self.kind = kind
        self.seed = seed
        self.epoch = epoch
        self.readers = [student, *([] if teacher is None else [teacher])]
        self.masks = [_mask_of(reader.tokenizer) if kind == "mask" else "" for reader in self.readers]

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        """Return the batch, with augmented texts in place of some rows."""
        epoch, live = self.epoch(), self.extras.get("live")
        texts: list[list[str]] = [[] for _ in self.readers]
        pairs: list[list[str]] = [[] for _ in self.readers]
        for row in rows:
            random = np.random.default_rng([self.seed, epoch, row])
            viewed = (live is None or live[row]) and random.random() < SHARE
            for chosen, source in ((texts, self.split.texts), (pairs, self.split.pairs)):
                if source is None:
                    continue
                text = source[row]
                augmented = (
                    augmented_text(text, kind=self.kind, masks=self.masks, random=random)
                    if viewed
                    else [text] * len(self.readers)
                )
                for mine, view in zip(chosen, augmented, strict=True):
                    mine.append(view)
        batch = super().__call__(rows)
        for place, reader in enumerate(self.readers):
            encoded = reader.tokenizer.encode(texts[place], pairs[place] if self.split.pairs is not None else None)
            types = self.types if place == 0 else uses_type_ids(reader.config)
            part = pad_batch(encoded, range(len(rows)), pad_id=reader.tokenizer.pad_id, types=types)
            batch |= part if place == 0 else {TEACHER_PREFIX + name: tensor for name, tensor in part.items()}
        return batch


def augmented_text(text: str, *, kind: Augmentation, masks: Sequence[str], random: np.random.Generator) -> list[str]:
    """Return an augmented copy of a text, once for each tokenizer.

    Args:
        text: the text; without words it stays unchanged.
        kind: "mask": every word is replaced by the mask with probability 0.1; "ngram": consecutive words, of random
            number and place.
        masks: the mask of each tokenizer, as it is written in a text; "ngram" uses their number only.
        random: the generator to draw from.
    """
    words = [match.span() for match in _WORD.finditer(text)]
    if not words:
        return [text] * len(masks)
    if kind == "ngram":
        length = int(random.integers(1, len(words) + 1))
        first = int(random.integers(0, len(words) - length + 1))
        return [text[words[first][0] : words[first + length - 1][1]]] * len(masks)
    hidden = [span for span, hide in zip(words, random.random(len(words)) < MASKED, strict=True) if hide]
    ends = [0, *(end for _, end in hidden)]
    kept = [text[end:start] for end, (start, _) in zip(ends, hidden, strict=False)] + [text[ends[-1] :]]
    return [mask.join(kept) for mask in masks]


def _mask_of(tokenizer: TextTokenizer) -> str:
    """Return the mask as it can be written into a text."""
    for name in MASK_TOKENS:
        number = tokenizer.token_id(name)
        if number is not None and number in tokenizer.encode([name]).ids:
            return name
    raise ConfigError(
        "a vocabulary of teacher and student has no token to mask words with.",
        accepted={"augmentation": "none, ngram"},
        fix=option("student.augmentation", "ngram"),
    )
