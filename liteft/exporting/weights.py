"""A classifier's weights without a framework: numpy arrays under names that no family of models owns.

This is the narrow place between torch and everything that writes or runs a graph. It reads a loaded
classifier once, checks that every weight of the model is known and has the shape the configuration promises,
and says in words why a model does not fit. A model that does not fit is no error: it is exported by tracing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.encoder.families import ACTIVATION_NAMES, BUILT, family_of, weight_names
from liteft.encoder.spec import Activation, Head, Pooling
from liteft.finetuning.model import LoadedClassifier, uses_type_ids

__all__ = ["EncoderSpec", "EncoderWeights", "read_weights", "reason_to_trace"]

_OPTIONAL = ("embeddings.type.weight", "embeddings.project.weight", "embeddings.project.bias")


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What an encoder classifier computes, apart from its weights.

    Attributes:
        family: model type in transformers' words.
        layers, heads, width, inner_width, labels: sizes; width is the hidden width, inner_width that of the
            feed-forward.
        epsilon: of every LayerNorm.
        activation: of the feed-forward.
        pooling: "cls" reads column 0, "mean" the mean over the columns that the mask keeps.
        head: activation after the dense layer of the head; "none" where there is no dense layer.
        position_padding_id: None where a token's position is its column; else the padding id p: the position of a
            token that is not p is p plus the number of such tokens up to it, that of a padding token is p.
        typed: the graph takes token_type_ids; otherwise every token has type 0.
    """

    family: str
    layers: int
    heads: int
    width: int
    inner_width: int
    labels: int
    epsilon: float
    activation: Activation
    pooling: Pooling
    head: Head
    position_padding_id: int | None
    typed: bool


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """An encoder classifier's specification and its float32 weights by neutral name.

    Linear weights have shape (outputs, inputs), as in torch; embeddings (rows, width). The type embedding is
    there only where ``spec.typed``: otherwise its row 0 is part of the position embedding.
    """

    spec: EncoderSpec
    tensors: dict[str, np.ndarray]


def reason_to_trace(loaded: LoadedClassifier) -> str | None:
    """Return why a classifier's graph cannot be built from its weights, in a few words, or None."""
    config, pooling = loaded.config, loaded.settings.pooling
    family = family_of(config.model_type)
    if family.names is None:
        return f"the family {config.model_type} is not one of {', '.join(BUILT)}"
    if pooling not in ("cls", "mean"):
        return f"pooling {pooling!r} is a decoder's"
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        return "the model is a decoder or has cross attention"
    positions = getattr(config, "position_embedding_type", None) or "absolute"
    if positions != "absolute":
        return f"its position embeddings are {positions}"
    activation = getattr(config, family.activation_key)
    if activation not in ACTIVATION_NAMES:
        return f"its activation {activation} is not one of {', '.join(ACTIVATION_NAMES)}"
    if config.hidden_size % config.num_attention_heads:
        return f"the width {config.hidden_size} is not a multiple of its {config.num_attention_heads} heads"
    names = weight_names(family.names, layers=config.num_hidden_layers, pooling=pooling)
    found = loaded.model.state_dict()
    missing = [theirs for ours, theirs in names.items() if theirs not in found and ours not in _OPTIONAL]
    unknown = sorted(set(found) - set(names.values()))
    if missing or unknown:
        listed = f"lacks {missing[0]}" if missing else f"has {unknown[0]}"
        return f"it {listed}, unlike a {config.model_type} of transformers"
    return _misfit(found, {theirs: ours for ours, theirs in names.items()}, config)


def read_weights(loaded: LoadedClassifier) -> EncoderWeights:
    """Return the weights of a classifier for which `reason_to_trace` has no reason.

    The type embedding is folded into the position embedding where the task has no pairs or there is one type
    only: every token has type 0 then. The arrays are float32, and may be the model's own memory: they are to be read.

    Raises:
        ValueError: there is a reason to trace.
    """
    reason = reason_to_trace(loaded)
    if reason is not None:
        raise ValueError(reason)
    config, settings = loaded.config, loaded.settings
    family = family_of(config.model_type)
    assert family.names is not None
    names = weight_names(family.names, layers=config.num_hidden_layers, pooling=settings.pooling)
    state = loaded.model.state_dict()
    tensors = {ours: state[theirs].detach().cpu().float().numpy() for ours, theirs in names.items() if theirs in state}
    typed = settings.paired and uses_type_ids(config)
    if "embeddings.type.weight" in tensors and not typed:
        types = tensors.pop("embeddings.type.weight")
        tensors["embeddings.position.weight"] = tensors["embeddings.position.weight"] + types[0]
    mean = settings.pooling == "mean"
    spec = EncoderSpec(
        family=config.model_type,
        layers=int(config.num_hidden_layers),
        heads=int(config.num_attention_heads),
        width=int(config.hidden_size),
        inner_width=len(tensors["layers.0.feed_forward.inner.bias"]),
        labels=len(tensors["classifier.bias"]),
        epsilon=float(getattr(config, "layer_norm_eps", family.epsilon)),
        activation=ACTIVATION_NAMES[getattr(config, family.activation_key)],
        pooling="mean" if mean else "cls",
        head="none" if mean else family.head,
        position_padding_id=int(config.pad_token_id) if family.positions_from_padding else None,
        typed=typed,
    )
    return EncoderWeights(spec, tensors)


def _misfit(found: dict[str, Any], neutral: dict[str, str], config: Any) -> str | None:
    """Say which weight has another shape than the configuration implies (heads pruned, widths of its own)."""
    width = int(config.hidden_size)
    for theirs, tensor in found.items():
        ours = neutral[theirs]
        shape = tuple(tensor.shape)
        square = ".attention." in ours and ours.endswith((".weight", ".bias"))
        expected = (width, width) if len(shape) == 2 else (width,)
        if square and shape != expected:
            return f"{theirs} has shape {shape} where the configuration says {expected}"
    return None
