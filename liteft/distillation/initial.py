"""The untrained student: a part of the fine-tuned teacher, or an encoder that the user names.

A student of a given size starts with the teacher's embeddings, some of its layers, and its head. It can classify before
its first step, so few epochs are enough.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, PretrainedConfig

from liteft.distillation.layers import choose_layers
from liteft.distillation.shrinking import check_roles, shrink
from liteft.encoder.families import family_of
from liteft.encoder.modules import read_layer
from liteft.errors import ConfigError, Hint, ModelError, option
from liteft.finetuning.adapters import plain_weights
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.calibration import without_threshold
from liteft.finetuning.model import (
    TorchClassifier,
    is_classifier,
    load_classifier,
    merged_classifier,
    read_config,
    untrained_classifier,
)
from liteft.finetuning.setfit import NormalizedLinear
from liteft.finetuning.settings import ModelSettings, position_limit
from liteft.recipe_checks import require_student
from liteft.recipes import StudentRecipe, parse_size

__all__ = [
    "check_narrower",
    "check_own_encoder",
    "check_student",
    "create_student",
    "create_with_new_head",
    "cut_out",
    "encoder_weights",
    "keeps_head",
    "student_config",
]


def check_student(recipe: StudentRecipe, teacher: PretrainedConfig) -> None:
    """Refuse settings from which no student can be made, before anything is trained.

    Args:
        recipe: the student's settings.
        teacher: configuration of the teacher, or of the base that is fine-tuned to become it.

    Raises:
        ConfigError: as ``require_student``, or a size or layers that do not fit the teacher.
        ModelError: a narrower student was asked for, and the teacher's family cannot be shrunk.
    """
    require_student(recipe)
    if recipe.size is not None:
        width = parse_size(recipe.size)[1]
        if width not in (None, int(teacher.hidden_size)):
            check_narrower(teacher)
        student_config(teacher, recipe)


def check_narrower(teacher: PretrainedConfig, *, fix: Sequence[Hint] = ()) -> None:
    """Refuse a teacher from which no narrower student can be cut.

    Args:
        teacher: its configuration, or that of the base that becomes it.
        fix: what to try where the family is the reason; none for what a student may be instead.

    Raises:
        ConfigError: the width of its embeddings differs from its hidden width.
        ModelError: its family cannot be shrunk.
    """
    if int(getattr(teacher, "embedding_size", teacher.hidden_size)) != int(teacher.hidden_size):
        raise ConfigError(
            "a teacher whose embeddings have a width of their own cannot be shrunk.",
            fix=option("size", "LAYERS", note=" alone"),
        )
    check_roles(encoder_weights(teacher), fix=fix)


def encoder_weights(config: PretrainedConfig) -> list[str]:
    """Return the names of an encoder's weights without allocating them."""
    with torch.device("meta"):
        return list(AutoModel.from_config(config).state_dict())


def check_own_encoder(recipe: StudentRecipe, *, max_tokens: int) -> None:
    """Refuse a user's encoder that cannot read the teacher's texts, before the teacher is trained.

    Args:
        recipe: the student's settings; nothing is checked if its size is given instead.
        max_tokens: of the teacher; the student's texts are truncated there too.

    Raises:
        ModelError: the encoder does not exist, or has fewer positions.
    """
    if recipe.student is None:
        return
    folder = resolve_base(recipe.student)
    most = position_limit(read_config(folder))
    if max_tokens > most:
        raise ModelError(
            f"the student {folder} has positions for {most} tokens, and its teacher is to read {max_tokens}.",
            accepted={"max_tokens": f"up to {most}"},
            fix=option("max_tokens", most),
        )


def create_student(teacher: TorchClassifier, recipe: StudentRecipe, *, encoder: Path | None = None) -> TorchClassifier:
    """Return an untrained student.

    Args:
        teacher: the fine-tuned classifier; it is not changed.
        recipe: ``size`` and ``layers``, or ``student``.
        encoder: folder of an encoder to start from in place of what the recipe says.

    Raises:
        ConfigError: what ``check_student`` refuses, or a width that cannot be cut out of the teacher.
        ModelError: the user's encoder cannot be loaded, or the teacher's family cannot be shrunk.
    """
    if encoder is None and recipe.student is not None:
        encoder = resolve_base(recipe.student)
    if encoder is not None:
        require_student(recipe)
        return _own_encoder(teacher, encoder, seed=recipe.seed)
    check_student(recipe, teacher.config)
    config, weights = cut_out(teacher.config, plain_weights(teacher.model), recipe)
    head = getattr(teacher.model, "classifier", None)
    if isinstance(head, NormalizedLinear):  # the student's own head reads vectors of any length
        weights["classifier.weight"] /= head.typical_length
    model = untrained_classifier(config, teacher.settings)
    model.load_state_dict(weights)
    return TorchClassifier(model.eval(), teacher.tokenizer, teacher.settings, teacher.path)


def cut_out(
    config: PretrainedConfig, weights: Iterable[tuple[str, Tensor]], recipe: StudentRecipe
) -> tuple[PretrainedConfig, dict[str, Tensor]]:
    """Return the configuration and the weights of a model of the student's shape, cut out of a larger one.

    Args:
        config: of the larger model.
        weights: of the larger model, by name.
        recipe: ``size`` and ``layers``.

    Raises:
        ConfigError, ModelError: as ``check_student``.
    """
    own, chosen = student_config(config, recipe)
    kept = _chosen_layers(weights, chosen)
    if own.hidden_size != config.hidden_size:
        inner = getattr(own, family_of(own.model_type).inner_width_key)
        kept = shrink(kept, width=own.hidden_size, heads=int(config.num_attention_heads), inner=inner)
    return own, kept


def student_config(teacher: PretrainedConfig, recipe: StudentRecipe) -> tuple[PretrainedConfig, list[int]]:
    """Return the configuration of a student of a size, and the teacher's layers that it starts from.

    Args:
        teacher: configuration of the teacher, or of the base that is fine-tuned to become it.
        recipe: ``size`` and ``layers``.

    Raises:
        ConfigError: a size or layers that do not fit, or a width that cannot be cut out of the teacher.
    """
    layers, width = parse_size(recipe.size or "")
    chosen = choose_layers(recipe.layers, teacher=int(teacher.num_hidden_layers), student=layers)
    config = copy.deepcopy(teacher)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = [config.layer_types[index] for index in chosen]
    if width is not None and width != int(config.hidden_size):
        _narrow(config, width)
    return config, chosen


def _own_encoder(teacher: TorchClassifier, folder: Path, *, seed: int) -> TorchClassifier:
    if (own := _finished(folder, teacher)) is not None:
        return own
    return create_with_new_head(folder, teacher.settings, seed=seed)


def create_with_new_head(
    folder: Path, settings: ModelSettings, *, seed: int, dropout: float | None = None
) -> TorchClassifier:
    """Return an encoder as an untrained classifier with another one's labels and way of reading, and a new head.

    Args:
        folder: of the encoder.
        settings: of the other classifier. What pools its last token is a decoder; an encoder pools [CLS] in its place.
        seed: of the head's random weights.
        dropout: replaces the encoder's own dropout when given.

    Raises:
        ModelError: as for ``create_classifier``.
    """
    return create_classifier(
        folder,
        labels=settings.labels,
        task=settings.task,
        pooling="cls" if settings.pooling == "last" else settings.pooling,
        max_tokens=settings.max_tokens,
        paired=settings.paired,
        marked=settings.marked,
        answers=settings.answers,
        truncation_side=settings.truncation_side,
        dropout=dropout,
        seed=seed,
    )


def keeps_head(folder: Path, teacher: TorchClassifier) -> bool:
    """Return whether a student that starts from a folder starts with the head there: that of a classifier like it."""
    return _finished(folder, teacher) is not None


def _finished(folder: Path, teacher: TorchClassifier) -> TorchClassifier | None:
    """Return the classifier in a folder, including its head, if it already has the teacher's labels."""
    if not is_classifier(folder):
        return None
    loaded = without_threshold(merged_classifier(load_classifier(folder)))
    wanted = teacher.settings
    same = (loaded.settings.labels, loaded.settings.task) == (wanted.labels, wanted.task)
    return loaded if same and loaded.settings.max_tokens == wanted.max_tokens else None


def _chosen_layers(weights: Iterable[tuple[str, Tensor]], chosen: list[int]) -> dict[str, Tensor]:
    """Keep the chosen layers, renumbered, and all weights outside layers. Copies, on the CPU."""
    place = {layer: index for index, layer in enumerate(chosen)}
    kept = {}
    for name, tensor in weights:
        found = read_layer(name)
        if found is None:
            kept[name] = tensor.to("cpu", copy=True)
        elif found.number in place:
            kept[f"{found.stack}.{place[found.number]}.{found.rest}"] = tensor.to("cpu", copy=True)
    return kept


def _narrow(config: PretrainedConfig, width: int) -> None:
    """Write a narrower width into a configuration."""
    full, heads = int(config.hidden_size), int(config.num_attention_heads)
    head_size = full // heads
    if width > full or width % head_size:
        raise ConfigError(
            f"a student of width {width} cannot be cut out of a teacher of width {full}.",
            accepted={"widths": f"multiples of {head_size}, its head size, up to {full}"},
            fix=[
                option("size", "LAYERS", note=" alone keeps the width"),
                option("student", "FOLDER", note=" for an encoder of its own"),
            ],
        )
    name = family_of(config.model_type).inner_width_key
    setattr(config, name, int(getattr(config, name, 4 * full)) * width // full)
    config.hidden_size = width
    config.num_attention_heads = width // head_size
    if hasattr(config, "embedding_size"):
        config.embedding_size = width
