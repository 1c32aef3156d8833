"""A classifier without a class in transformers: one linear layer on the mean of the hidden states.

Its folder is one of its encoder: `AutoModel` loads the trained encoder from it, and has every weight. For that alone
the file holds the weights of the pooler that some families have, as zeros, since nothing was trained into it.
`AutoModelForSequenceClassification` would put another head on the encoder, at random. One tensor of that head is stored
without elements, so that transformers refuses the folder, and the name of another says why in its report. With
``trust_remote_code=True`` it takes the right class instead, whose file is beside the weights (modeling_mean_pooled.py).
LiteFT itself never runs that file.

With an adapter, the folder has a model type of its own, which transformers refuses, as folders of earlier versions had:
peft would put the adapter on whatever class is asked for.
"""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from liteft import files
from liteft.finetuning import modeling_mean_pooled
from liteft.foreign.weights import UNUSED_WEIGHTS, WEIGHTS

__all__ = [
    "MEAN_TYPE",
    "MeanPooledClassifier",
    "config_of_encoder",
    "load_mean_pooled",
    "mark_config",
    "pooler_argument",
    "save_mean_pooled",
]

MEAN_TYPE = "liteft-mean-pooled"
_ENCODER = "encoder_type"
_HEAD = modeling_mean_pooled.HEAD
_CLASS = modeling_mean_pooled.MeanPooledForSequenceClassification.__name__
_SAID = "AutoModelForSequenceClassification needs trust_remote_code=True, since LiteFT pools the mean"


class MeanPooledClassifier(nn.Module):
    """An encoder, the mean of its hidden states over real tokens, dropout, and one linear layer.

    Args:
        encoder: a transformers base model without a pooler.
        labels: number of labels.
        dropout: probability on the pooled vector, while training; None for the one in the encoder's configuration.

    Source of the pooling: Reimers and Gurevych 2019, section 3, arXiv:1908.10084.
    """

    def __init__(self, encoder: nn.Module, labels: int, *, dropout: float | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = cast(PretrainedConfig, encoder.config)
        self.dropout = nn.Dropout(_head_dropout(self.config) if dropout is None else dropout)
        self.classifier = nn.Linear(self.config.hidden_size, labels)

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of tokens; called by Trainer, which adds noise to them if it is told to."""
        encoder: Any = self.encoder
        return cast(nn.Module, encoder.get_input_embeddings())

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """Recompute each layer in the backward pass instead of keeping its activations; called by Trainer."""
        encoder: Any = self.encoder
        encoder.activation_checkpointing_enable(**settings)

    def gradient_checkpointing_enable(self, **settings: Any) -> None:
        """The same, under its name in older versions of transformers."""
        encoder: Any = self.encoder
        encoder.gradient_checkpointing_enable(**settings)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> SequenceClassifierOutput:
        """Return logits (texts, labels), and hidden states if asked for.

        Args:
            input_ids: int64, shape (texts, tokens).
            attention_mask: int64, same shape, 1 at real tokens.
            token_type_ids: int64, same shape, or None.
            output_hidden_states: also return the embeddings' and every layer's output.
        """
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_hidden_states=output_hidden_states,
            **extra,
        )
        hidden = output.last_hidden_state
        real = attention_mask.unsqueeze(-1).bool()
        total = torch.where(real, hidden, torch.zeros((), dtype=hidden.dtype)).sum(dim=1)
        pooled = total / real.sum(dim=1).clamp(min=1)
        logits = self.classifier(self.dropout(pooled.to(self.classifier.weight.dtype)))
        return SequenceClassifierOutput(logits=logits, hidden_states=output.hidden_states)


def save_mean_pooled(model: MeanPooledClassifier, folder: Path) -> None:
    """Write config.json, the weights and the file of the class with which transformers computes the same logits.

    Args:
        model: the classifier.
        folder: an existing folder.
    """
    kept = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
    stored = {_stored_name(name): tensor for name, tensor in kept.items()}
    unused = _unused_weights(model.config, stored.keys())
    metadata = {"format": "pt", UNUSED_WEIGHTS: json.dumps(sorted(unused))}
    model.config.architectures = [_CLASS]
    model.config.save_pretrained(folder)
    save_file(stored | unused, folder / WEIGHTS, metadata=metadata)
    _sort_metadata(folder / WEIGHTS)
    source = Path(modeling_mean_pooled.__file__)
    shutil.copyfile(source, folder / source.name)
    content = files.read_json(folder / "config.json")
    named = {"AutoModelForSequenceClassification": f"{source.stem}.{_CLASS}"}
    files.write_json(folder / "config.json", content | {"auto_map": named})


def _sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file in place: the library writes them in a random order.

    So the same weights have the same bytes, and a run that was resumed has the hash of one that was not.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(content) > size:
            raise ValueError(f"{path}: the sorted header has {len(content)} bytes, the one on disk {size}")
        file.seek(8)
        file.write(content.ljust(size))


def load_mean_pooled(model: MeanPooledClassifier, path: Path) -> None:
    """Read what `save_mean_pooled` wrote, or an earlier version, into a classifier of the same configuration.

    Args:
        model: changed in place.
        path: of the weights.

    Raises:
        SafetensorError, RuntimeError, OSError: the file is broken, or does not fit the configuration.
    """
    with safe_open(path, framework="pt") as file:
        unused = json.loads((file.metadata() or {}).get(UNUSED_WEIGHTS, "null"))
        stored = {name: file.get_tensor(name) for name in file.keys() if name not in (unused or ())}  # noqa: SIM118
    if unused is not None:
        stored = {_own_name(name): tensor for name, tensor in stored.items()}
    model.load_state_dict(stored)


def _stored_name(name: str) -> str:
    """Return the name on disk: that of the encoder alone, or of the head that transformers does not know."""
    return name.removeprefix("encoder.") if name.startswith("encoder.") else f"{_HEAD}.{name.rsplit('.', 1)[-1]}"


def _own_name(stored: str) -> str:
    return f"classifier.{stored.rsplit('.', 1)[-1]}" if stored.startswith(f"{_HEAD}.") else f"encoder.{stored}"


def _unused_weights(config: PretrainedConfig, stored: Any) -> dict[str, Tensor]:
    """Return what is stored for transformers alone: a pooler of zeros, and an empty tensor that no head fits."""
    with torch.device("meta"):
        encoder = AutoModel.from_config(config).state_dict()
        known = type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
        other: Any = AutoModelForSequenceClassification.from_config(config) if known else None
    unused = {name: torch.zeros(tensor.shape) for name, tensor in encoder.items() if name not in stored}
    if other is None:
        return unused
    prefix = f"{other.base_model_prefix}."
    head = [name for name, _ in other.named_parameters() if not name.startswith(prefix) and name not in encoder]
    return unused | {head[-1]: torch.zeros(0), _SAID: torch.zeros(0)}


def mark_config(path: Path) -> None:
    """Mark a config.json as mean-pooled, which transformers itself cannot load."""
    content = files.read_json(path)
    files.write_json(path, content | {"model_type": MEAN_TYPE, _ENCODER: content["model_type"]})


def config_of_encoder(content: dict[str, Any]) -> PretrainedConfig:
    """Return the configuration of the encoder in a config.json that `mark_config` has marked.

    Raises:
        ValueError: it names no encoder known to transformers.
    """
    kind = content.get(_ENCODER)
    if kind not in CONFIG_MAPPING:
        raise ValueError(f"{_ENCODER} {kind!r} is not a model type of transformers")
    kept = {name: value for name, value in content.items() if name not in (_ENCODER, "model_type")}
    return cast(PretrainedConfig, CONFIG_MAPPING[kind].from_dict(kept))


def _head_dropout(config: PretrainedConfig) -> float:
    """Return the dropout before the last layer in the classifiers of the encoder's family."""
    for name in ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob", "resid_pdrop"):
        if getattr(config, name, None) is not None:
            return float(getattr(config, name))
    return 0.1


def pooler_argument(config: PretrainedConfig) -> dict[str, bool]:
    """Return the keyword argument that omits the pooler, for families that allow it."""
    model = MODEL_MAPPING.get(type(config), None)
    takes = isinstance(model, type) and "add_pooling_layer" in inspect.signature(model).parameters
    return {"add_pooling_layer": False} if takes else {}
