"""Low-rank adapters (LoRA): the base is frozen; a small matrix product beside each linear layer is trained.

For a base that does not fit in memory with gradients and optimizer moments for every weight; stored in 8 or 4 bits
(quantized.py), not even the base itself has to fit. peft puts the adapters in the place of the linear layers, so
everything that reads a classifier reads this one too. All of the head is trained.

Source: Hu et al. 2021, LoRA, arXiv:2106.09685. An adapter for every linear layer: Dettmers et al. 2023, section 4,
arXiv:2305.14314.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from liteft.encoder.families import family_of
from liteft.encoder.modules import HEAD_PATTERN, in_head
from liteft.errors import ConfigError, Hint, leave_out, option
from liteft.finetuning.quantized import BaseQuantization, element_count, plain_weight, require, was_transposed
from liteft.recipes import TeacherRecipe

__all__ = [
    "Adapter",
    "adapter_of",
    "asked_adapter",
    "attach_adapter",
    "parameter_count",
    "plain_weights",
]

_RANK, _DROPOUT = 16, 0.05


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's shape, and the base it belongs to.

    Attributes:
            base: path or hub name of the base.
            base_sha256: of the base's weights.
    base_bytes: size of those weights.
            quantization: how the base's linear layers are stored; None for float32.
            rank: inner width of the added products.
    alpha: the products are multiplied by alpha / rank.
    dropout: on their inputs, during training.
            targets: last name components of the linear layers that get one; None until they are known.
    """

    base: str
    base_sha256: str
    base_bytes: int
    quantization: BaseQuantization | None
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] | None = None


def asked_adapter(recipe: TeacherRecipe, *, bf16: bool) -> Adapter | None:
    """Return the adapter that a recipe asks for, or None if all weights are trained.

    The base is not read yet: the caller fills in its hash and size.

    Args:
        recipe: a teacher's settings.
        bf16: the training computes in bfloat16.

    Raises:
        ConfigError: settings that contradict each other.
        MissingExtraError: peft or bitsandbytes is not installed.
    """
    rank = recipe.lora_rank
    if rank is None:
        rank = 0 if recipe.base_quantization is None else _RANK
    if rank == 0:
        if recipe.base_quantization is not None:
            raise ConfigError(
                f"weights in {recipe.base_quantization} are not trained, and lora_rank = 0 leaves nothing to train.",
                accepted={"lora_rank": f"1 or more; {_RANK} if left out"},
                fix=[option("lora_rank", 16), leave_out("base_quantization")],
            )
        given = [name for name in ("lora_alpha", "lora_dropout", "lora_targets") if getattr(recipe, name) is not None]
        if given:
            raise ConfigError(
                f"{given[0]} is set, and there is no adapter: all weights are trained.",
                fix=[option("lora_rank", 16), leave_out(f"teacher.{given[0]}")],
            )
        return None
    if recipe.base is None or recipe.from_scratch:
        raise ConfigError(
            "an adapter needs a pretrained base; from scratch all weights have to be trained.",
            fix=[option("base", "BASE"), leave_out("lora_rank"), leave_out("base_quantization")],
        )
    require("peft", what="an adapter (lora_rank, quantization)")
    if recipe.base_quantization is not None:
        require("bitsandbytes", what=f"base_quantization = {recipe.base_quantization!r}")
    folder = Path(recipe.base).expanduser()
    return Adapter(
        base=str(folder.resolve()) if folder.is_dir() else recipe.base,
        base_sha256="",
        base_bytes=0,
        quantization=recipe.base_quantization
        and BaseQuantization(recipe.base_quantization, "bf16" if bf16 else "fp32"),
        rank=rank,
        alpha=2.0 * rank if recipe.lora_alpha is None else recipe.lora_alpha,
        dropout=_DROPOUT if recipe.lora_dropout is None else recipe.lora_dropout,
        targets=None if recipe.lora_targets is None else tuple(recipe.lora_targets),
    )


def attach_adapter(model: nn.Module, adapter: Adapter) -> None:
    """Put an adapter into a freshly loaded classifier, in place; from now on only it and the head are trained.

    Args:
        model: the classifier; `adapter_of` returns its adapter.
        adapter: its random start comes from torch's generator and changes no result: one of its matrices is zero.

    Raises:
        ConfigError: the family's linear layers are unknown and `targets` is not set, or matches none of them.
    """
    from peft import LoraConfig, inject_adapter_in_model

    linear = _linear_layers(model)
    known = family_of(str(model.config.model_type)).linear  # type: ignore[union-attr]
    targets = tuple(name for name in known if name in linear) if adapter.targets is None else adapter.targets
    if adapter.targets is None and not known:
        raise ConfigError(
            f"which layers of a {model.config.model_type} get an adapter is not known here.",  # type: ignore[union-attr]
            accepted={"its linear layers": ", ".join(linear)},
            fix=Hint(f"lora_targets={linear}", f"--set 'teacher.lora_targets={json.dumps(linear)}'"),
        )
    unknown = [name for name in targets if name not in linear]
    if unknown or not targets:
        raise ConfigError(
            f"lora_targets names {unknown[0]!r}, which is not a linear layer of this model."
            if unknown
            else "lora_targets names no layer.",
            accepted={"its linear layers": ", ".join(linear)},
            fix=leave_out("teacher.lora_targets"),
        )
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=list(targets),
        exclude_modules=HEAD_PATTERN,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that GPT-2 stores its weights transposed, once a layer
        inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name or in_head(name))
    model._hf_peft_config_loaded = True  # Trainer refuses quantized models that do not say so
    model.liteft_adapter = replace(adapter, targets=tuple(targets))  # type: ignore[assignment]


def adapter_of(model: nn.Module) -> Adapter | None:
    """Return the adapter of a classifier, or None if it has none."""
    return cast("Adapter | None", getattr(model, "liteft_adapter", None))


def parameter_count(model: nn.Module) -> int:
    """Return the number of weights of a model, adapters included, as if none were packed."""
    return sum(element_count(parameter) for parameter in model.parameters())


def plain_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and value of each weight of the same classifier in float32 and without adapters.

    Without an adapter, that is the classifier's state. Otherwise adapters are added to the weights they belong to, and
    quantized weights are dequantized: exact for 4-bit layers, while 8-bit layers also round their inputs, so results
    differ slightly.
    """
    if adapter_of(model) is None:
        yield from model.state_dict().items()
        return
    from peft.tuners.lora import LoraLayer

    for path, module in model.named_modules():
        if ".lora_" in path or path.endswith(".base_layer"):
            continue
        prefix = f"{path}." if path else ""
        adapted = isinstance(module, LoraLayer)
        source: Any = module.base_layer if adapted else module
        if isinstance(source, (nn.Linear, Conv1D)):
            weight = plain_weight(source)
            if adapted:
                weight = weight + module.get_delta_weight("default").float()
            yield f"{prefix}weight", (weight.T if was_transposed(source) else weight).contiguous()
            if source.bias is not None:
                yield f"{prefix}bias", source.bias.detach().float()
            continue
        for name, parameter in module.named_parameters(recurse=False):
            yield prefix + name, parameter.detach()
        for name, buffer in module.named_buffers(recurse=False):
            if name not in module._non_persistent_buffers_set:
                yield prefix + name, buffer


def _linear_layers(model: nn.Module) -> list[str]:
    """The last name components of the linear layers outside the head."""
    found = {
        path.rsplit(".", 1)[-1]
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and not in_head(path)
    }
    return sorted(found)
