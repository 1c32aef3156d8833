"""Make a trainable classifier from a pretrained base, or from scratch.

The weights of a base must be safetensors and must fill the whole encoder; only the head may be new. Either all weights
are trained, or the base is frozen and gets an adapter. From scratch means a BERT of a given size with a given
vocabulary and random weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    PretrainedConfig,
    set_seed,
)

from liteft import files
from liteft.config import parse_size
from liteft.encoder.families import family_of
from liteft.errors import ConfigError, ModelError, option
from liteft.finetuning.adapters import Adapter, attach_adapter
from liteft.finetuning.bases import base_name, resolve_base
from liteft.finetuning.mean_pooled import MeanPooledClassifier
from liteft.finetuning.model import (
    ModelSettings,
    Pooling,
    TorchClassifier,
    apply_settings,
    position_limit,
    read_config,
)
from liteft.finetuning.pretrained import load_pretrained
from liteft.finetuning.tokenizer_files import Side, read_tokenizer
from liteft.foreign import lowers_case
from liteft.tasks import Task
from liteft.tokenization import TextTokenizer

__all__ = ["base_name", "create_classifier", "create_from_scratch", "resolve_base"]

_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "summary_last_dropout"),
    *("dropout", "attention_dropout", "seq_classif_dropout"),
    *("embd_pdrop", "attn_pdrop", "resid_pdrop"),
)


def create_classifier(
    base: Path,
    *,
    labels: Sequence[str],
    task: Task,
    pooling: Pooling,
    max_tokens: int,
    paired: bool,
    truncation_side: Side | None = None,
    dropout: float | None = None,
    seed: int = 0,
    adapter: Adapter | None = None,
) -> TorchClassifier:
    """Return an untrained classifier on a pretrained base; only its head and its adapter, if any, are new.

    Args:
        base: folder of the base.
        labels: label names, at least two (one is enough for a multi-label task).
        task: what the labels mean.
        pooling: "cls" or "mean"; decoders always pool their last token.
        max_tokens: texts are cut to this length; more than the base has positions for is an error.
        paired: the task classifies pairs of texts.
        truncation_side: "right" or "left"; None for the side of the base's tokenizer.
        dropout: replaces the base's own dropout when given.
        seed: of the head's random weights, and the adapter's.
        adapter: train only this and the head, on the base stored as its ``quantization`` says.

    Raises:
        ModelError: the base cannot be loaded completely, or has fewer positions than max_tokens.
        ConfigError: the adapter does not fit the base's family.
        MissingExtraError: what the adapter needs is not installed.
        RunError: the base is a run's model, and its weights are not the ones that run.json names.
    """
    config = read_config(base)
    if family_of(config.model_type).decoder:
        pooling = "last"
    if max_tokens > position_limit(config):
        raise ModelError(
            f"max_tokens={max_tokens} is more than {base} has positions for.",
            accepted={"max_tokens": f"up to {position_limit(config)}"},
            fix=option("max_tokens", position_limit(config)),
        )
    found = read_tokenizer(base)
    side = truncation_side or found.truncation_side
    settings = ModelSettings(tuple(labels), task, pooling, max_tokens, paired, side)
    apply_settings(config, settings)
    if dropout is not None:
        _set_dropout(config, dropout)
    tokenizer = found.cutting(max_tokens, truncation_side=side, pad_id=config.pad_token_id)
    config.pad_token_id = tokenizer.pad_id
    _check_case(base, tokenizer)
    set_seed(seed)
    quantization = None if adapter is None else adapter.quantization
    model = load_pretrained(
        base, config, labels=len(labels), mean=settings.pooling == "mean", quantization=quantization
    )
    if adapter is not None:
        attach_adapter(model, adapter)
    return TorchClassifier(model, tokenizer, settings, base)


def create_from_scratch(
    vocabulary: Path,
    folder: Path,
    *,
    size: str,
    labels: Sequence[str],
    task: Task,
    pooling: Pooling,
    max_tokens: int,
    paired: bool,
    truncation_side: Side | None = None,
    dropout: float | None = None,
    seed: int = 0,
) -> TorchClassifier:
    """Return a randomly initialised BERT classifier; its tokenizer's files are written into ``folder``.

    Args:
        vocabulary: a WordPiece vocab.txt, or a tokenizer.json.
        folder: an existing folder that becomes the classifier's tokenizer source.
        size: layers x width, as "4x256"; heads are 64 wide (32 where 64 does not divide the width).
        labels, task, pooling, max_tokens, paired, dropout, seed: as for create_classifier.
        truncation_side: "right" or "left"; None for "right".

    Raises:
        ModelError: the vocabulary cannot be read.
        ConfigError: the size is malformed, or its width cannot be split into heads.
    """
    layers, width = parse_size(size)
    width = width or 256
    head_size = next((head for head in (64, 32) if width % head == 0), None)
    if head_size is None:
        raise ConfigError(
            f"size {size!r}: the width {width} cannot be split into heads of 32 or 64.",
            accepted={"width": "a multiple of 32"},
        )
    _write_tokenizer(vocabulary, folder)
    settings = ModelSettings(tuple(labels), task, pooling, max_tokens, paired, truncation_side or "right")
    tokenizer = read_tokenizer(folder, BertConfig()).cutting(max_tokens, truncation_side=settings.truncation_side)
    config = BertConfig(
        vocab_size=tokenizer.vocabulary_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // head_size,
        intermediate_size=4 * width,
        max_position_embeddings=max(512, max_tokens),
        pad_token_id=tokenizer.pad_id,
    )
    apply_settings(config, settings)
    if dropout is not None:
        _set_dropout(config, dropout)
    set_seed(seed)
    model: nn.Module
    if pooling == "mean":
        model = MeanPooledClassifier(BertModel(config, add_pooling_layer=False), len(labels))
    else:
        model = BertForSequenceClassification(config)
    return TorchClassifier(model, tokenizer, settings, folder)


def _check_case(base: Path, tokenizer: TextTokenizer) -> None:
    """Refuse a base whose texts sentence-transformers lowercases itself while its tokenizer does not."""
    if lowers_case(base) and len({text.ids.tobytes() for text in tokenizer.encode(["Ab CD", "ab cd"])}) > 1:
        raise ModelError(
            f"sentence-transformers lowers the case of texts before {base} reads them, and its tokenizer keeps it.",
            accepted={"a base": "one whose tokenizer lowers the case itself, where that is wanted"},
            fix=[
                f'"do_lower_case": true in {base / "tokenizer_config.json"}, where its tokenizer is of BERT\'s kind',
                f'"do_lower_case": false in {base / "sentence_bert_config.json"}, to keep the case',
            ],
        )


def _write_tokenizer(vocabulary: Path, folder: Path) -> None:
    if not vocabulary.is_file():
        raise ModelError(
            f"the vocabulary {vocabulary} does not exist.",
            accepted={"vocabulary": "a WordPiece vocab.txt (a piece a line) or a tokenizer.json"},
        )
    if vocabulary.suffix == ".json":
        shutil.copyfile(vocabulary, folder / "tokenizer.json")
        files.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
        return
    try:
        pieces = vocabulary.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{vocabulary} is not UTF-8 text: {error}.",
            accepted={"a vocabulary": "vocab.txt in UTF-8, one token per line, or tokenizer.json"},
        ) from None
    missing = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if token not in pieces]
    if missing:
        raise ModelError(f"{vocabulary} lacks the tokens {', '.join(missing)}.", fix="add a line for each of them")
    cased = any(piece.isascii() and piece.isalpha() and piece.isupper() for piece in pieces if len(piece) > 1)
    shutil.copyfile(vocabulary, folder / "vocab.txt")
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=not cased)
    tokenizer.save_pretrained(folder)


def _set_dropout(config: PretrainedConfig, dropout: float) -> None:
    for name in _DROPOUTS:
        if getattr(config, name, None) is not None:
            setattr(config, name, dropout)
