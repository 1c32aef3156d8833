"""A text classifier in torch: its two pooled forms, and its folder on disk.

Pooling "cls" (encoders) and "last" (decoders) use transformers' own class for sequence
classification, unchanged. Pooling "mean" puts one linear layer on the mean of the hidden states of the real
tokens; transformers has no class for that, so LiteFT does (mean_pooled.py says what its folder holds). Either way the
folder is what transformers writes, with an extra key, ``liteft``, in config.json; a classifier with an adapter is
stored as peft writes it.
Settings are in settings.py, training in trainer.py, creation from a base in base.py, prediction in logits.py.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig

from liteft.errors import ModelError, first_line
from liteft.finetuning.adapter_files import find_adapter_base, load_adapter_weights, read_adapter, save_adapter
from liteft.finetuning.adapters import Adapter, adapter_of, attach_adapter, plain_weights
from liteft.finetuning.mean_pooled import (
    MEAN_TYPE,
    MeanPooledClassifier,
    config_of_encoder,
    load_mean_pooled,
    mark_config,
    pooler_argument,
    save_mean_pooled,
)
from liteft.finetuning.pretrained import load_pretrained, model_class, plain_names, quiet_transformers
from liteft.finetuning.settings import (
    ModelSettings,
    apply_settings,
    read_settings,
    require_positions,
    written_here,
)
from liteft.finetuning.tokenizer_files import read_tokenizer, write_tokenizer
from liteft.foreign import Said, read_config_json, refuse_family, require_weights
from liteft.foreign.meaning import CLASSIFIERS, train_first
from liteft.foreign.weights import refuse_quantized
from liteft.run import WEIGHTS, check_weights
from liteft.tokenization import TextTokenizer

__all__ = [
    "MeanPooledClassifier",
    "TorchClassifier",
    "is_classifier",
    "load_classifier",
    "merged_classifier",
    "pooler_argument",
    "quiet_transformers",
    "save_classifier",
    "untrained_classifier",
]


@dataclass(slots=True)
class TorchClassifier:
    """A classifier with its tokenizer and settings, read from ``path``; ``cut_by`` says where max_tokens comes from."""

    model: nn.Module
    tokenizer: TextTokenizer
    settings: ModelSettings
    path: Path
    cut_by: str = "as it was trained"

    @property
    def config(self) -> PretrainedConfig:
        """The transformers configuration of the encoder."""
        return cast(PretrainedConfig, self.model.config)

    @property
    def own(self) -> bool:
        """Whether LiteFT wrote it, so that it states its settings itself."""
        return written_here(self.config)


def load_classifier(folder: str | Path, *, max_tokens: int | None = None, said: Said | None = None) -> TorchClassifier:
    """Return the classifier in a folder written by LiteFT or transformers, in float32 and evaluation mode.

    An adapter is loaded with its base, stored as it was during training. The tokenizer is read as transformers does.

    Args:
        folder: the folder.
        max_tokens: truncate texts to this many tokens; None for the length used in training or, if that is
            unknown, the smaller of the limits of its tokenizer and its positions.
        said: what the config.json of a classifier written by transformers leaves open.

    Raises:
        ModelError: not a model, not a classifier, an unsupported task or family, weights that are not
            safetensors, a broken file, an adapter whose base is missing, or fewer positions than max_tokens.
        ConfigError: its config.json contradicts ``said``.
        MissingExtraError: it has an adapter, and peft or bitsandbytes is not installed.
        RunError: it belongs to a run, and its weights are not the ones that run.json names.
    """
    folder = Path(folder)
    check_weights(folder)
    config = read_config(folder)
    adapter = read_adapter(folder)
    if adapter is None:
        require_weights(folder)
    found = read_tokenizer(folder)
    if not (written_here(config) or found.types):
        found = found.without_types()
    settings, cut_by = read_settings(folder, config, found, said)
    if max_tokens is not None:
        settings, cut_by = replace(settings, max_tokens=max_tokens), "as asked"
    require_positions(folder, config, settings.max_tokens)
    try:
        model = _build(folder, config, settings) if adapter is None else _adapted(folder, config, settings, adapter)
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = first_line(" ".join(str(error).split()))  # the first line of torch's message names no weight
        raise ModelError(
            f"{folder / WEIGHTS} does not fit config.json: {reason}.", fix="copy the folder again, whole"
        ) from error
    tokenizer = found.cutting(settings.max_tokens, truncation_side=settings.truncation_side, pad_id=config.pad_token_id)
    return TorchClassifier(model.eval(), tokenizer, settings, folder, cut_by)


def is_classifier(folder: Path) -> bool:
    """Say whether a model folder contains a trained classifier, from LiteFT or transformers."""
    config = read_config(folder)
    if getattr(config, "quantization_config", None):
        refuse_quantized(folder, read_config_json(folder))
    architecture = (config.architectures or [""])[0]
    return written_here(config) or architecture.endswith(CLASSIFIERS)


def read_config(folder: Path) -> PretrainedConfig:
    """Return config.json of a local model folder.

    Raises:
        ModelError: it is missing or unreadable, or its family cannot be exported.
    """
    content = read_config_json(folder)
    refuse_family(folder, content)
    try:
        if content.get("model_type") == MEAN_TYPE:
            return config_of_encoder(content)
        config = cast(PretrainedConfig, AutoConfig.from_pretrained(folder, trust_remote_code=False))
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(
            f"{folder / 'config.json'} cannot be used: {first_line(error)}.",
            accepted={"a model": "an architecture that transformers itself knows; a model's own code is never run"},
            fix="a base of the BERT family, or save the model in one of transformers' own classes",
        ) from error
    if written_here(config) and hasattr(config, "auto_map"):
        del config.auto_map  # it belongs to the folder: an artifact has no such file
    return config


def save_classifier(
    model: nn.Module, settings: ModelSettings, tokenizer_source: str | Path, folder: str | Path
) -> None:
    """Write config.json, the weights and the tokenizer's files into an existing folder.

    The weights are model.safetensors or, for a classifier with an adapter, what `save_adapter` writes.

    Args:
        model: the classifier, of either form.
        settings: stored under ``liteft`` in config.json.
        tokenizer_source: a folder whose tokenizer is written too, with the truncation of ``settings``.
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
        if isinstance(model, MeanPooledClassifier):
            mark_config(folder / "config.json")
    elif isinstance(model, MeanPooledClassifier):
        save_mean_pooled(model, folder)
    else:
        model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
    found = read_tokenizer(Path(tokenizer_source), config)
    tokenizer = found.cutting(settings.max_tokens, truncation_side=settings.truncation_side, pad_id=config.pad_token_id)
    write_tokenizer(found.settings, tokenizer, folder, types=uses_type_ids(config))


def uses_type_ids(config: PretrainedConfig) -> bool:
    """Say whether a model of this configuration uses token_type_ids other than 0."""
    return int(getattr(config, "type_vocab_size", 0) or 0) > 1


def merged_classifier(loaded: TorchClassifier) -> TorchClassifier:
    """Return the same classifier with its adapter merged into float32 weights, on the CPU; without one, itself.

    This needs memory for the whole base in float32. See `plain_weights` for what merging changes.
    """
    if adapter_of(loaded.model) is None:
        return loaded
    config = copy.deepcopy(loaded.config)
    model = untrained_classifier(config, loaded.settings)
    model.load_state_dict({name: tensor.cpu() for name, tensor in plain_weights(loaded.model)})
    return TorchClassifier(model.eval(), loaded.tokenizer, loaded.settings, loaded.path, loaded.cut_by)


def untrained_classifier(config: PretrainedConfig, settings: ModelSettings) -> nn.Module:
    """Return a classifier of a configuration with random weights, float32."""
    if settings.pooling == "mean":
        encoder = AutoModel.from_config(config, **pooler_argument(config))
        return MeanPooledClassifier(encoder, len(settings.labels)).float()
    return cast(
        nn.Module, model_class(settings.pooling, extractive=settings.task.extractive).from_config(config)
    ).float()


def _build(folder: Path, config: PretrainedConfig, settings: ModelSettings) -> nn.Module:
    quiet_transformers()
    if settings.pooling == "mean":
        model = cast(MeanPooledClassifier, untrained_classifier(config, settings))
        load_mean_pooled(model, folder / WEIGHTS)
        return model
    with plain_names(folder) as place:
        loaded, info = model_class(settings.pooling, extractive=settings.task.extractive).from_pretrained(
            place,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder / WEIGHTS} lacks {len(missing)} weights of the classifier, {missing[0]} first.",
            fix=train_first(folder),
        )
    return cast(nn.Module, loaded)


def _adapted(folder: Path, config: PretrainedConfig, settings: ModelSettings, adapter: Adapter) -> nn.Module:
    """Load the classifier of an adapter's folder: its base, stored as the adapter says, and the trained weights."""
    model, _ = load_pretrained(
        find_adapter_base(adapter, folder),
        config,
        labels=len(settings.labels),
        pooling=settings.pooling,
        extractive=settings.task.extractive,
        quantization=adapter.quantization,
    )
    attach_adapter(model, adapter)
    load_adapter_weights(model, folder)
    return model
