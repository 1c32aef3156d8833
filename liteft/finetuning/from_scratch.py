"""A BERT from scratch: its configuration by size, its tokenizer by vocabulary, and a classifier of both."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from transformers import BertConfig, BertTokenizer, set_seed

from liteft import files
from liteft.answer_spans import AnswerForm
from liteft.errors import ConfigError, ModelError, option
from liteft.finetuning.base import set_dropout
from liteft.finetuning.model import TorchClassifier, untrained_classifier
from liteft.finetuning.settings import ModelSettings, Pooling, apply_settings
from liteft.finetuning.tokenizer_files import FolderTokenizer, Side, read_tokenizer
from liteft.finetuning.units import start_in_units
from liteft.recipes import parse_size
from liteft.tasks import Task
from liteft.tokenization import TextTokenizer

__all__ = ["bert_config", "create_from_scratch", "write_vocabulary"]

USUAL_WIDTH = 256
_HEAD_WIDTHS = (64, 32)  # the first that divides the model's width
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


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
    marked: bool = False,
    answers: AnswerForm | None = None,
    truncation_side: Side | None = None,
    dropout: float | None = None,
    seed: int = 0,
) -> TorchClassifier:
    """Return a randomly initialised BERT classifier; its tokenizer's files are written into ``folder``.

    Args:
        vocabulary: a WordPiece vocab.txt, or a tokenizer.json.
        folder: an existing folder that becomes the classifier's tokenizer source.
        size: layers x width, as "4x256"; heads are 64 wide (32 where 64 does not divide the width).
        labels, task, pooling, max_tokens, paired, marked, answers, dropout, seed: as for create_classifier.
        truncation_side: "right" or "left"; None for "right".

    Raises:
        ModelError: the vocabulary cannot be read.
        ConfigError: the size is malformed, or its width cannot be split into heads.
    """
    settings = ModelSettings(
        tuple(labels), task, pooling, max_tokens, paired, truncation_side or "right", marked=marked, answers=answers
    )
    found = write_vocabulary(vocabulary, folder)
    tokenizer = found.cutting(max_tokens, truncation_side=settings.truncation_side)
    config = bert_config(size, tokenizer, positions=max(512, max_tokens))
    apply_settings(config, settings)
    if dropout is not None:
        set_dropout(config, dropout)
    set_seed(seed)
    loaded = TorchClassifier(untrained_classifier(config, settings), tokenizer, settings, folder)
    start_in_units(loaded)
    return loaded


def bert_config(size: str, tokenizer: TextTokenizer, *, positions: int) -> BertConfig:
    """Return the configuration of a BERT that reads a tokenizer's texts.

    Args:
        size: layers x width, as "4x256"; heads are 64 wide (32 where 64 does not divide the width).
        tokenizer: determines the number of word embeddings.
        positions: number of position embeddings, the most tokens of a text.

    Raises:
        ConfigError: the size is malformed, or its width cannot be split into heads.
    """
    layers, width = parse_size(size)
    width = width or USUAL_WIDTH
    head_width = next((head for head in _HEAD_WIDTHS if width % head == 0), None)
    if head_width is None:
        raise ConfigError(
            f"size {size!r}: the width {width} cannot be split into heads of 32 or 64.",
            accepted={"width": "a multiple of 32"},
            fix=option("size", f"{layers}x{max(32, round(width / 32) * 32)}"),
        )
    return BertConfig(
        vocab_size=len(tokenizer.tokens()),  # a row for each id, also where ids have gaps
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // head_width,
        intermediate_size=4 * width,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_id,
    )


def write_vocabulary(vocabulary: Path, folder: Path) -> FolderTokenizer:
    """Write a vocabulary as a tokenizer's files into a folder, and return the tokenizer that is read from it.

    Args:
        vocabulary: a WordPiece vocab.txt, or a tokenizer.json.
        folder: an existing folder.

    Raises:
        ModelError: the vocabulary cannot be read.
    """
    if not vocabulary.is_file():
        raise ModelError(
            f"the vocabulary {vocabulary} does not exist.",
            accepted={"vocabulary": "a WordPiece vocab.txt (one token per line) or a tokenizer.json"},
            fix=option("vocabulary_file", "vocab.txt"),
        )
    if vocabulary.suffix == ".json":
        shutil.copyfile(vocabulary, folder / "tokenizer.json")
        files.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    else:
        cased = _is_cased(_read_tokens(vocabulary))
        shutil.copyfile(vocabulary, folder / "vocab.txt")
        BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=not cased).save_pretrained(folder)
    return read_tokenizer(folder, BertConfig())


def _read_tokens(vocabulary: Path) -> list[str]:
    """Return the tokens of a vocab.txt."""
    try:
        tokens = vocabulary.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{vocabulary} is not UTF-8 text: {error}.",
            accepted={"a vocabulary": "vocab.txt in UTF-8, one token per line, or tokenizer.json"},
            fix="save the file as UTF-8",
        ) from None
    missing = [token for token in _SPECIAL_TOKENS if token not in tokens]
    if missing:
        raise ModelError(f"{vocabulary} lacks the tokens {', '.join(missing)}.", fix="add a line for each of them")
    return tokens


def _is_cased(tokens: Sequence[str]) -> bool:
    """Say whether a vocabulary holds a word in capitals other than single letters."""
    return any(token.isascii() and token.isalpha() and token.isupper() for token in tokens if len(token) > 1)
