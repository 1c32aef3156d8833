"""A classifier with a trimmed vocabulary: rows of its word embeddings are selected, all other weights stay."""

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
    classifier: TorchClassifier, splits: Sequence[Split], *, most: int, fill: bool = False, min_count: int = 1
) -> tuple[TorchClassifier, TrimmedVocabulary]:
    """Return a copy of a classifier whose vocabulary has only tokens that texts use, and that vocabulary.

    Args:
        classifier: the classifier; it is not changed.
        splits: the texts, labelled or not.
        most: maximum number of tokens.
        fill: keep ``most`` tokens, even if the texts do not use as many.
        min_count: keep only tokens that occur in so many different texts, single characters and what fills apart.

    Returns:
        The copy and the vocabulary. The copy's ``path`` is that of the original, whose folder has the original
        tokenizer's files; ``write_tokenizer_files`` writes the new ones.

    Raises:
        ConfigError: ``most`` is below the number of special tokens and single characters.
        ModelError: the vocabulary cannot be trimmed, or the word embeddings do not fit it.
    """
    windowed = not classifier.settings.task.of_whole_texts  # long texts are not cut
    vocabulary = trim_vocabulary(
        classifier.tokenizer, splits, most=most, fill=fill, whole=windowed, min_count=min_count
    )
    config = copy.deepcopy(classifier.config)
    ids = {int(old): new for new, old in enumerate(vocabulary.old_ids) if old >= 0}
    from_padding = family_of(config.model_type).positions_from_padding
    if from_padding and ids[classifier.tokenizer.pad_id] != classifier.tokenizer.pad_id:
        raise ModelError(
            f"the vocabulary of this {config.model_type} cannot be trimmed: its positions count from the id of the "
            f"padding token, {classifier.tokenizer.pad_id:,}, which would have to change.",
            fix=leave_out("vocabulary"),
        )
    model = copy.deepcopy(classifier.model)
    encoder: Any = model.encoder if isinstance(model, MeanPooledClassifier) else model
    before: Tensor = encoder.get_input_embeddings().weight
    if int(vocabulary.old_ids.max()) >= len(before):
        raise ModelError(
            f"{classifier.path} has {len(before):,} rows of word embeddings for {vocabulary.of:,} tokens.",
            fix="call resize_token_embeddings in transformers, and save it again",
        )
    padding = ids.get(classifier.tokenizer.pad_id)
    embedding = nn.Embedding(len(vocabulary.tokens), before.shape[1], padding_idx=padding, dtype=before.dtype)
    with torch.no_grad():
        embedding.weight.copy_(_rows(before, vocabulary))
    encoder.set_input_embeddings(embedding.to(before.device))
    _renumber(cast(PretrainedConfig, model.config), ids, vocabulary)
    tokenizer = TextTokenizer(
        vocabulary.json_text,
        max_tokens=classifier.tokenizer.max_tokens,
        truncation_side=classifier.tokenizer.truncation_side,
        pad_id=padding,
    )
    return TorchClassifier(
        model.train(classifier.model.training), tokenizer, classifier.settings, classifier.path
    ), vocabulary


def _rows(before: Tensor, vocabulary: TrimmedVocabulary) -> Tensor:
    """Return the new word embeddings; a new token starts as the mean of the tokens that contain its character."""
    rows = before[torch.from_numpy(vocabulary.old_ids).clamp(min=0).to(before.device)]
    for number, sources in vocabulary.made_of.items():
        rows[number] = before[list(sources)].mean(dim=0)
    return rows


def _renumber(config: PretrainedConfig, ids: dict[int, int], vocabulary: TrimmedVocabulary) -> None:
    """Set the new vocabulary size and the new ids of special tokens in a configuration."""
    config.vocab_size = len(vocabulary.tokens)
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            # None for a token that was removed, as an encoder's unused bos and eos often are
            setattr(config, name, ids.get(value))
