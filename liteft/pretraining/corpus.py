"""The texts of a training as token ids, and which of them are held out to validate on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from torch import nn

from liteft.data.text_streams import TextStream
from liteft.finetuning.context import RunContext
from liteft.finetuning.known_ids import embedding_rows, without_row
from liteft.pretraining.order import held_out
from liteft.pretraining.packing import Sequences, pack, read_sequences
from liteft.recipes import PretrainRecipe
from liteft.tokenization import TextTokenizer

__all__ = ["Corpus", "require_embeddings", "tokenized", "told_once"]

_MANY_UNKNOWN = 0.05
_BLOCK = 1 << 24  # tokens looked at at once


@dataclass(frozen=True)
class Corpus:
    """Texts that were tokenized, in sequences of at most as many tokens as the model reads.

    Attributes:
        name: of the texts.
        fingerprint: of the texts.
        sequences: their token ids, mapped from files.
        validation: the sequences that are held out, int64, ascending.
    """

    name: str
    fingerprint: str
    sequences: Sequences
    validation: np.ndarray

    @property
    def by_length(self) -> np.ndarray:
        """The sequences that are held out, the shortest first, so that batches of them need little padding."""
        rows: np.ndarray = self.validation[np.argsort(self.sequences.lengths(self.validation), kind="stable")]
        return rows

    @property
    def warnings(self) -> list[str]:
        """What a reader must know of the texts: that the vocabulary lacks many of their words."""
        if self.sequences.unknown <= _MANY_UNKNOWN:
            return []
        return [f"{100 * self.sequences.unknown:.1f}% of the tokens are unknown to the vocabulary"]

    def to_dict(self) -> dict[str, Any]:
        """Return what run.json says of the texts."""
        held = len(self.validation)
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "texts": self.sequences.texts,
            "sequences": {"train": len(self.sequences) - held, "validation": held},
            "tokens": len(self.sequences.tokens),
            "unknown": self.sequences.unknown,
        }


def tokenized(
    stream: TextStream,
    fingerprint: str,
    tokenizer: TextTokenizer,
    recipe: PretrainRecipe,
    context: RunContext,
    *,
    unknown: int | None,
) -> Corpus:
    """Return texts as token ids, which are written into files beside the checkpoints, once.

    Args:
        stream: the texts.
        fingerprint: of them.
        tokenizer: of the model.
        recipe: how long a sequence may be, and how many texts are held out.
        context: of the run.
        unknown: id of the token for unknown words, or None.

    Raises:
        DataError: no text has a token, or none is left to train on.
    """
    plain = Tokenizer.from_str(tokenizer.json_text)
    most = recipe.max_tokens - plain.num_special_tokens_to_add(False)
    key = hashlib.sha256(f"{fingerprint} {most} {tokenizer.json_text}".encode()).hexdigest()[:32]
    folder = context.checkpoints / f"texts-{key}"
    if context.state.is_main_process and not folder.is_dir():
        context.tell(f"texts: {stream.name} is tokenized, once")
        pack(stream.texts(), plain, folder, most_tokens=most, unknown=unknown)
    context.state.wait_for_everyone()
    found = read_sequences(folder)
    told_once(context, f"texts: {found.texts:,}, in {len(found):,} sequences, {len(found.tokens):,} tokens")
    return Corpus(stream.name, fingerprint, found, held_out(found, recipe.validation_fraction, recipe.seed))


def require_embeddings(corpus: Corpus, model: nn.Module, tokenizer: TextTokenizer) -> None:
    """Refuse texts with a token that the model has no embedding for; see `liteft.finetuning.known_ids`.

    Raises:
        DataError: a text contains such a token; the error names it.
    """
    rows = embedding_rows(model)
    if rows is None or len(tokenizer.tokens()) <= rows:
        return
    tokens = corpus.sequences.tokens
    for start in range(0, len(tokens), _BLOCK):
        highest = int(tokens[start : start + _BLOCK].max()) >> 1
        if highest >= rows:
            raise without_row(f"{corpus.name}: the texts hold", tokenizer, highest, rows)


def told_once(context: RunContext, line: str) -> None:
    """Report a line of progress from one of the processes that train together."""
    if context.state.is_main_process:
        context.tell(line)
