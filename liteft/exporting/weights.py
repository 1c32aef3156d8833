"""Reads a classifier's weights into numpy arrays, under names that are the same for every family of models.

Everything that builds a graph uses these arrays instead of torch. It is checked that every weight of the model is known
and has the shape that the configuration implies. A model that does not fit is not an error: the reason is returned, and
the model is exported by tracing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from transformers import PretrainedConfig

from liteft.encoder.families import ACTIVATION_NAMES, BUILT, Family, family_of, weight_names
from liteft.encoder.layout import layout
from liteft.encoder.spec import POOLINGS, EncoderSpec, Pooling
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.settings import ModelSettings

__all__ = ["EncoderWeights", "find_spec", "read_weights", "spec_of"]

_WORDS, _POSITIONS, _TYPES = (f"embeddings.{table}.weight" for table in ("word", "position", "type"))


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """An encoder classifier's specification, and its float32 weights by LiteFT's names.

    Linear weights have shape (outputs, inputs), as in torch; embeddings (rows, width). The type embedding is included
    only if the specification has token types; otherwise its row 0 has been added to the position embedding.
    """

    spec: EncoderSpec
    tensors: dict[str, np.ndarray]


def find_spec(loaded: TorchClassifier) -> EncoderSpec | str:
    """Return the specification of a classifier, or, in a few words, why its graph cannot be built from its weights."""
    shapes = {name: tuple(tensor.shape) for name, tensor in loaded.model.state_dict().items()}
    return spec_of(loaded.config, loaded.settings, shapes)


def spec_of(
    config: PretrainedConfig, settings: ModelSettings, shapes: Mapping[str, tuple[int, ...]]
) -> EncoderSpec | str:
    """Return what `find_spec` returns, from the shapes of the weights alone.

    Args:
        config: of the encoder.
        settings: pooling, and whether the classifier reads pairs.
        shapes: the shape of every weight, by transformers' name.
    """
    family = family_of(config.model_type)
    reason = _unlike(config, settings, family)
    if reason is not None:
        return reason
    assert family.names is not None
    names = weight_names(
        family.names,
        layers=int(config.num_hidden_layers),
        pooling=settings.pooling,
        extractive=settings.task.extractive,
    )
    found = {ours: shapes[theirs] for ours, theirs in names.items() if theirs in shapes}
    if missing := [names[ours] for ours in (_WORDS, _POSITIONS, "classifier.bias") if ours not in found]:
        return _other(config, f"lacks {missing[0]}")
    spec = _described(config, settings, family, found)
    wanted = {ours: shape for slot in layout(spec) for ours, shape in slot.source_shapes().items()}
    missing = [names[ours] for ours in wanted if ours not in found]
    unknown = sorted(set(shapes) - {names[ours] for ours in (*wanted, _TYPES)})
    if missing or unknown:
        return _other(config, f"lacks {missing[0]}" if missing else f"has {unknown[0]}")
    for ours, shape in wanted.items():
        if found[ours] != shape:  # such as pruned heads
            return f"{names[ours]} has shape {found[ours]} where the configuration says {shape}"
    return spec


def read_weights(loaded: TorchClassifier, spec: EncoderSpec | None = None) -> EncoderWeights:
    """Return the weights of a classifier whose graph can be built from them.

    If the task has no pairs, or there is only one token type, every token has type 0, and the type embedding is added
    to the position embedding. The arrays are float32 and may share the model's memory, so they must not be changed.

    Args:
        loaded: the classifier.
        spec: its specification, if `find_spec` has already returned it.

    Raises:
        ValueError: its graph cannot be built; the message says why.
    """
    found = find_spec(loaded) if spec is None else spec
    if isinstance(found, str):
        raise ValueError(found)
    names = family_of(loaded.config.model_type).names
    assert names is not None
    extractive = loaded.settings.task.extractive
    whole = weight_names(names, layers=found.layers, pooling=found.pooling, extractive=extractive)
    state = loaded.model.state_dict()
    tensors = {ours: state[theirs].detach().cpu().float().numpy() for ours, theirs in whole.items() if theirs in state}
    if _TYPES in tensors and not found.has_token_types:
        tensors[_POSITIONS] = tensors[_POSITIONS] + tensors.pop(_TYPES)[0]
    return EncoderWeights(found, tensors)


def _unlike(config: Any, settings: ModelSettings, family: Family) -> str | None:
    """Return what a configuration has that a built graph does not support, or None."""
    if family.names is None:
        return f"the family {config.model_type} is not one of {', '.join(BUILT)}"
    if settings.pooling not in POOLINGS:
        return f"pooling {settings.pooling!r} is a decoder's"
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
    return None


def _described(
    config: Any, settings: ModelSettings, family: Family, shapes: Mapping[str, tuple[int, ...]]
) -> EncoderSpec:
    """Return the specification: sizes from the configuration, those of tables and labels from the weights' shapes."""
    pooling = cast(Pooling, settings.pooling)
    vocabulary, embedding_width = shapes[_WORDS]
    types = settings.varied_types and uses_type_ids(config)
    return EncoderSpec(
        layers=int(config.num_hidden_layers),
        heads=int(config.num_attention_heads),
        width=int(config.hidden_size),
        inner_width=int(getattr(config, family.inner_width_key)),
        embedding_width=embedding_width,
        vocabulary=vocabulary,
        positions=shapes[_POSITIONS][0],
        token_types=int(config.type_vocab_size) if types else 0,
        labels=shapes["classifier.bias"][0],
        epsilon=float(getattr(config, "layer_norm_eps", family.epsilon)),
        activation=ACTIVATION_NAMES[getattr(config, family.activation_key)],
        pooling=pooling,
        head=family.head if pooling == "cls" else "none",
        position_padding_id=int(config.pad_token_id) if family.positions_from_padding else -1,
    )


def _other(config: PretrainedConfig, difference: str) -> str:
    return f"it {difference}, unlike a {config.model_type} of transformers"
