"""A text classifier in torch: its settings, its two pooled forms, and its folder on disk.

Pooling "cls" (encoders) and "last" (decoders) use the class that transformers itself has for sequence
classification, untouched. Pooling "mean" puts one linear layer on the mean of the hidden states of the real
tokens; transformers has no class for that, so there is one here. Either way the folder is what transformers
writes, with one more key, ``liteft``, in config.json; or, of a classifier whose base was not trained, what peft writes.
Training lives in trainer.py, creation from a base in base.py.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PretrainedConfig

from liteft.errors import ModelError, first_line
from liteft.finetuning.adapter_files import find_adapter_base, load_adapter_weights, read_adapter, save_adapter
from liteft.finetuning.adapters import Adapter, adapter_of, attach_adapter, plain_weights
from liteft.finetuning.mean_pooled import MeanPooledClassifier, pooler_argument
from liteft.finetuning.pretrained import load_pretrained, quiet_transformers
from liteft.metrics import Task
from liteft.run import WEIGHTS
from liteft.tokenization import Encoded, TextTokenizer

__all__ = [
    "DECODER_FAMILIES",
    "LoadedClassifier",
    "MeanPooledClassifier",
    "ModelSettings",
    "Pooling",
    "is_classifier",
    "load_classifier",
    "merged_classifier",
    "pad_batch",
    "pooler_argument",
    "predict_logits",
    "quiet_transformers",
    "save_classifier",
    "untrained_classifier",
]

Pooling = Literal["cls", "mean", "last"]
DECODER_FAMILIES = frozenset({"gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2", "qwen3", "mistral", "opt"})
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a classifier was trained for; stored in config.json under ``liteft``."""

    labels: tuple[str, ...]
    task: Task
    pooling: Pooling
    max_tokens: int
    paired: bool
    truncation_side: Literal["right", "left"] = "right"


@dataclass(slots=True)
class LoadedClassifier:
    """A classifier with its tokenizer and settings, read from ``path``."""

    model: nn.Module
    tokenizer: TextTokenizer
    settings: ModelSettings
    path: Path

    @property
    def config(self) -> PretrainedConfig:
        """The transformers configuration of the encoder."""
        return cast(PretrainedConfig, self.model.config)


def load_classifier(folder: str | Path) -> LoadedClassifier:
    """Return the classifier in a folder that LiteFT or transformers wrote, in float32 and evaluation mode.

    An adapter comes with its base, stored as it was while it was trained.

    Raises:
        ModelError: no model, no classifier, weights that are not safetensors, a broken file, or an adapter whose base
            is not there.
        MissingExtraError: an adapter, and peft or bitsandbytes is not installed.
    """
    folder = Path(folder)
    config = read_config(folder)
    adapter = read_adapter(folder)
    if adapter is None and not (folder / WEIGHTS).is_file():
        raise ModelError(
            f"{folder} has no {WEIGHTS}; weights in other formats are never loaded.",
            fix="save the model with save_pretrained, which writes safetensors",
        )
    settings = _read_settings(folder, config)
    try:
        model = _build(folder, config, settings) if adapter is None else _adapted(folder, config, settings, adapter)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ModelError(
            f"{folder / WEIGHTS} does not fit config.json: {first_line(error)}.", fix="copy the folder again, whole"
        ) from error
    tokenizer = TextTokenizer.from_file(
        folder / "tokenizer.json",
        max_tokens=settings.max_tokens,
        truncation_side=settings.truncation_side,
        pad_id=config.pad_token_id,
    )
    return LoadedClassifier(model.eval(), tokenizer, settings, folder)


def is_classifier(folder: Path) -> bool:
    """Say whether a model folder holds a classifier that was trained, by LiteFT or with transformers."""
    config = read_config(folder)
    architecture = (config.architectures or [""])[0]
    return getattr(config, "liteft", None) is not None or architecture.endswith("ForSequenceClassification")


def read_config(folder: Path) -> PretrainedConfig:
    """Return config.json of a local model folder. Raises ModelError when it is missing or unreadable."""
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is no model folder: it has no config.json.",
            accepted={"a model folder": "config.json, model.safetensors, tokenizer.json"},
        )
    try:
        return cast(PretrainedConfig, AutoConfig.from_pretrained(folder, trust_remote_code=False))
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(
            f"{folder / 'config.json'} cannot be used: {first_line(error)}.",
            accepted={"a model": "an architecture that transformers itself knows; a model's own code is never run"},
            fix="a base of the BERT family, or save the model in one of transformers' own classes",
        ) from error


def save_classifier(
    model: nn.Module, settings: ModelSettings, tokenizer_source: str | Path, folder: str | Path
) -> None:
    """Write config.json, the weights and the tokenizer's files into an existing folder.

    The weights are model.safetensors, or what was trained of a classifier with an adapter, as `save_adapter` says.

    Args:
        model: the classifier, of either form.
        settings: stored under ``liteft`` in config.json.
        tokenizer_source: a folder whose tokenizer files are copied.
        folder: where to write.
    """
    quiet_transformers()
    folder = Path(folder)
    config = cast(PretrainedConfig, model.config)
    apply_settings(config, settings)
    if adapter_of(model) is not None:
        config.architectures = [type(model).__name__]
        config.save_pretrained(folder)
        save_adapter(model, folder)
    elif isinstance(model, MeanPooledClassifier):
        weights = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
        config.architectures = ["MeanPooledClassifier"]
        config.save_pretrained(folder)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    else:
        model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
    for name in _TOKENIZER_FILES:
        source = Path(tokenizer_source) / name
        if source.is_file() and source.resolve() != (folder / name).resolve():
            shutil.copyfile(source, folder / name)


def apply_settings(config: PretrainedConfig, settings: ModelSettings) -> None:
    """Write labels, task and LiteFT's own settings into a transformers configuration."""
    config.id2label = dict(enumerate(settings.labels))
    config.label2id = {label: index for index, label in enumerate(settings.labels)}
    config.problem_type = f"{settings.task}_classification"
    config.liteft = {**asdict(settings), "labels": list(settings.labels)}


def predict_logits(
    loaded: LoadedClassifier,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    batch_size: int = 64,
    bf16: bool = False,
) -> np.ndarray:
    """Return logits, float32, shape (texts, labels), in the order of ``texts``.

    Batches hold texts of similar length, so little padding is computed. The model's mode is restored.

    Args:
        loaded: the classifier.
        texts: texts, or the first text of each pair.
        pairs: second texts, or None.
        batch_size: texts a batch.
        bf16: run matrix products in bfloat16.
    """
    encoded = loaded.tokenizer.encode(texts, pairs)
    order = np.argsort(encoded.lengths, kind="stable")
    logits = np.zeros((len(texts), len(loaded.settings.labels)), dtype=np.float32)
    model, training = loaded.model, loaded.model.training
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batch = pad_batch(encoded, rows, pad_id=loaded.tokenizer.pad_id, types=uses_type_ids(loaded.config))
                output = model(**{name: tensor.to(device) for name, tensor in batch.items()})
                logits[rows] = output.logits.float().cpu().numpy()
    finally:
        model.train(training)
    return logits


def uses_type_ids(config: PretrainedConfig) -> bool:
    """Say whether a model of this configuration takes token_type_ids that can differ from 0."""
    return int(getattr(config, "type_vocab_size", 0) or 0) > 1


def pad_batch(encoded: Encoded, rows: Sequence[int] | np.ndarray, *, pad_id: int, types: bool) -> dict[str, Tensor]:
    """Return the named rows as one right-padded batch of int64 tensors, shape (texts, longest)."""
    chosen = [encoded.ids[row] for row in rows]
    width = max(1, max(len(ids) for ids in chosen))
    ids = np.full((len(chosen), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(chosen), width), dtype=np.int64)
    type_ids = np.zeros((len(chosen), width), dtype=np.int64)
    for index, row in enumerate(rows):
        length = len(encoded.ids[row])
        ids[index, :length] = encoded.ids[row]
        mask[index, :length] = 1
        type_ids[index, :length] = encoded.type_ids[row]
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if types:
        batch["token_type_ids"] = torch.from_numpy(type_ids)
    return batch


def merged_classifier(loaded: LoadedClassifier) -> LoadedClassifier:
    """Return the same classifier with its adapter merged into float32 weights, on the CPU; without one, itself.

    It takes the memory of the whole base in float32. See `plain_weights` for what merging changes.
    """
    if adapter_of(loaded.model) is None:
        return loaded
    config = copy.deepcopy(loaded.config)
    model = untrained_classifier(config, loaded.settings)
    model.load_state_dict({name: tensor.cpu() for name, tensor in plain_weights(loaded.model)})
    return LoadedClassifier(model.eval(), loaded.tokenizer, loaded.settings, loaded.path)


def untrained_classifier(config: PretrainedConfig, settings: ModelSettings) -> nn.Module:
    """Return a classifier of a configuration with random weights, float32."""
    if settings.pooling == "mean":
        encoder = AutoModel.from_config(config, **pooler_argument(config))
        return MeanPooledClassifier(encoder, len(settings.labels)).float()
    return cast(nn.Module, AutoModelForSequenceClassification.from_config(config)).float()


def _read_settings(folder: Path, config: PretrainedConfig) -> ModelSettings:
    stored: dict[str, Any] | None = getattr(config, "liteft", None)
    if stored is not None:
        try:
            return ModelSettings(**{**stored, "labels": tuple(stored["labels"])})
        except (TypeError, KeyError) as error:
            raise ModelError(f"{folder / 'config.json'}: the key 'liteft' does not fit: {error}.") from error
    architecture = (config.architectures or [""])[0]
    if not architecture.endswith("ForSequenceClassification"):
        raise ModelError(
            f"{folder} is no classifier: its architecture is {architecture or 'not named'}.",
            accepted={"architectures": "...ForSequenceClassification, or a model that liteft trained"},
            fix=f"liteft finetune --base {folder} --data DATA --out RUN",
        )
    multi = config.problem_type == "multi_label_classification"
    return ModelSettings(
        labels=tuple(str(config.id2label[index]) for index in range(len(config.id2label))),
        task="multi_label" if multi else "single_label",
        pooling="last" if config.model_type in DECODER_FAMILIES else "cls",
        max_tokens=min(512, position_limit(config), _tokenizer_limit(folder)),
        paired=False,
    )


def _tokenizer_limit(folder: Path) -> int:
    """Return the length that the checkpoint's tokenizer cuts to; 512 where it states none."""
    try:
        stated = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("model_max_length")
    except (OSError, ValueError, AttributeError):
        return 512
    return int(stated) if isinstance(stated, (int, float)) and 1 <= stated <= 512 else 512


def position_limit(config: PretrainedConfig) -> int:
    """Return the most tokens that the position embeddings can hold."""
    limit = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 512)
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        limit -= int(config.pad_token_id or 0) + 1
    return limit


def _build(folder: Path, config: PretrainedConfig, settings: ModelSettings) -> nn.Module:
    quiet_transformers()
    if settings.pooling == "mean":
        model = untrained_classifier(config, settings)
        model.load_state_dict(load_file(folder / WEIGHTS))
        return model
    loaded, info = AutoModelForSequenceClassification.from_pretrained(
        folder,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        output_loading_info=True,
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder / WEIGHTS} lacks {len(missing)} weights of the classifier, {missing[0]} first.",
            fix=f"liteft finetune --base {folder} --data DATA --out RUN, to train them first",
        )
    return cast(nn.Module, loaded)


def _adapted(folder: Path, config: PretrainedConfig, settings: ModelSettings, adapter: Adapter) -> nn.Module:
    """The classifier of an adapter's folder: its base, stored as the adapter says, and what was trained on it."""
    model = load_pretrained(
        find_adapter_base(adapter, folder),
        config,
        labels=len(settings.labels),
        mean=settings.pooling == "mean",
        quantization=adapter.quantization,
    )
    attach_adapter(model, adapter)
    load_adapter_weights(model, folder)
    return model
