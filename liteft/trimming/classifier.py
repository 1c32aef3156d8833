"""A classifier with a smaller vocabulary: the rows of its word embedding are gathered, everything else stays."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from liteft.data import Split
from liteft.encoder.families import family_of
from liteft.errors import ModelError, leave_out
from liteft.finetuning.model import MeanPooledClassifier, TorchClassifier
from liteft.tokenization import TextTokenizer
from liteft.trimming.vocabulary import TrimmedVocabulary, trim_vocabulary

__all__ = ["trim_classifier"]


def trim_classifier(
    loaded: TorchClassifier, splits: Sequence[Split], *, most: int, fill: bool = False
) -> tuple[TorchClassifier, TrimmedVocabulary]:
    """Return a copy of a classifier that knows only the pieces that texts use, and its vocabulary.

    Args:
        loaded: the classifier; it is not changed.
        splits: the texts, unlabelled ones among them.
        most: tokens to keep at most.
        fill: keep as many, whether the texts use them or not.

    Returns:
        The copy, whose ``path`` is still that of the classifier it was made of, where the tokenizer's files are the old
        ones (``write_tokenizer_files`` writes the new ones); and the vocabulary.

    Raises:
        ConfigError: a budget below the special tokens and single characters.
        ModelError: a vocabulary that cannot be trimmed, or an embedding that does not fit it.
    """
    vocabulary = trim_vocabulary(loaded.tokenizer, splits, most=most, fill=fill)
    config = copy.deepcopy(loaded.config)
    ids = {int(old): new for new, old in enumerate(vocabulary.old_ids) if old >= 0}
    from_padding = family_of(config.model_type).positions_from_padding
    if from_padding and ids[loaded.tokenizer.pad_id] != loaded.tokenizer.pad_id:
        raise ModelError(
            f"the vocabulary of this {config.model_type} cannot be trimmed: positions count from the id of its "
            f"padding, {loaded.tokenizer.pad_id:,}, which would have to change.",
            fix=leave_out("vocabulary"),
        )
    model = copy.deepcopy(loaded.model)
    encoder: Any = model.encoder if isinstance(model, MeanPooledClassifier) else model
    before: Tensor = encoder.get_input_embeddings().weight
    if int(vocabulary.old_ids.max()) >= len(before):
        raise ModelError(
            f"{loaded.path} has {len(before):,} rows of word embeddings for {vocabulary.of:,} tokens.",
            fix="resize_token_embeddings in transformers, and save it again",
        )
    padding = ids.get(loaded.tokenizer.pad_id)
    embedding = nn.Embedding(len(vocabulary.tokens), before.shape[1], padding_idx=padding, dtype=before.dtype)
    with torch.no_grad():
        embedding.weight.copy_(_rows(before, vocabulary))
    encoder.set_input_embeddings(embedding.to(before.device))
    _renumber(cast(PretrainedConfig, model.config), ids, vocabulary)
    tokenizer = TextTokenizer(
        vocabulary.json_text,
        max_tokens=loaded.tokenizer.max_tokens,
        truncation_side=loaded.tokenizer.truncation_side,
        pad_id=padding,
    )
    return TorchClassifier(model.train(loaded.model.training), tokenizer, loaded.settings, loaded.path), vocabulary


def _rows(before: Tensor, vocabulary: TrimmedVocabulary) -> Tensor:
    """Return the rows of the new embedding; a new piece starts as the mean of the pieces that hold its character."""
    rows = before[torch.from_numpy(vocabulary.old_ids).clamp(min=0).to(before.device)]
    for number, sources in vocabulary.made_of.items():
        rows[number] = before[list(sources)].mean(dim=0)
    return rows


def _renumber(config: PretrainedConfig, ids: dict[int, int], vocabulary: TrimmedVocabulary) -> None:
    """Write the new size and the new ids of special tokens into a configuration."""
    config.vocab_size = len(vocabulary.tokens)
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            # An id that no token has any more (bos and eos of an encoder, often) names nothing.
            setattr(config, name, ids.get(value))
