"""A classifier without a class in transformers: one linear layer on the mean of the hidden states.

Its folder has a model type of its own, so that transformers refuses it: under the encoder's own type it would load the
folder into another class, with some weights initialised at random.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, MODEL_MAPPING, PretrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput

from liteft import files

__all__ = ["MEAN_TYPE", "MeanPooledClassifier", "config_of_encoder", "mark_config", "pooler_argument"]

MEAN_TYPE = "liteft-mean-pooled"
_ENCODER = "encoder_type"


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
