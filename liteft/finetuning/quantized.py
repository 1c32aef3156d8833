"""Linear layers in 8 or 4 bits, by bitsandbytes: for bases that do not fit in memory as they are.

Weights are quantized while they are read, one tensor at a time, so the whole base is never in memory in float. They
are frozen: only an adapter (adapters.py) and the head are trained.

Sources: Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339; Dettmers et al. 2023, QLoRA, arXiv:2305.14314.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from liteft.encoder.modules import HEAD_PATTERN
from liteft.errors import MissingExtraError
from liteft.installation import install_hint

__all__ = [
    "BaseQuantization",
    "Bits",
    "Compute",
    "element_count",
    "loading_arguments",
    "plain_weight",
    "require",
    "settle",
]

Bits = Literal["8bit", "4bit"]
Compute = Literal["fp32", "bf16"]
_KINDS = ("Params4bit", "Int8Params")


@dataclass(frozen=True, slots=True)
class BaseQuantization:
    """How a base's linear layers are stored.

    Attributes:
        bits: "8bit": int8 with one scale per output channel, columns of activations beyond 6 in float16; or "4bit": NF4
            in blocks of 64, whose scales are 8-bit themselves.
        compute: dtype of products with 4-bit weights.
    """

    bits: Bits
    compute: Compute


def require(package: str, *, what: str) -> None:
    """Raise MissingExtraError when a package of the extra ``lora`` is not installed."""
    if find_spec(package) is None:
        there = package == "peft" or sys.platform == "linux"  # the extra includes bitsandbytes on Linux only
        fix = install_hint("lora") if there else "leave the quantization out: adapters need none"
        raise MissingExtraError(f"{what} needs {package}, which is not installed.", fix=fix)


def loading_arguments(quantization: BaseQuantization) -> dict[str, Any]:
    """Return the arguments with which from_pretrained of transformers quantizes what it reads.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    require("bitsandbytes", what=f"a base in {quantization.bits}")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # would warn about dtypes for every layer
    if quantization.bits == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=[HEAD_PATTERN])
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if quantization.compute == "bf16" else torch.float32,
            llm_int8_skip_modules=[HEAD_PATTERN],
        )
    return {"quantization_config": config}


def settle(model: nn.Module) -> None:
    """Make a freshly loaded model behave the same in training and evaluation, in place.

    On processors with AVX512-BF16 bitsandbytes repacks 4-bit weights at the first evaluation and rounds their scales to
    bfloat16, permanently: training after an evaluation would differ from a resumed run. This also unmaps the base's
    file.
    """
    for parameter in model.parameters():
        if type(parameter).__name__ not in _KINDS:
            parameter.data = parameter.data.clone()  # a view of the base's file would keep all of it mapped
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    # The written folder describes the architecture; base.json says how the base is stored.
    config: Any = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config


def plain_weight(module: nn.Module) -> Tensor:
    """Return the weight of a linear layer as float32, (out, in), dequantized if necessary."""
    weight: Any = module.weight
    if type(weight).__name__ == "Params4bit":
        from bitsandbytes.functional import dequantize_4bit

        return torch.as_tensor(dequantize_4bit(weight.data, weight.quant_state)).float()
    if type(weight).__name__ == "Int8Params":
        # bitsandbytes moves the scales from the weight to the layer's state at the first forward.
        scales = weight.SCB if weight.SCB is not None else module.state.SCB  # type: ignore[union-attr]
        return weight.data.float() * (scales.float() / 127.0).unsqueeze(1)
    return torch.as_tensor(weight).float()


def was_transposed(module: nn.Module) -> bool:
    """Say whether a quantized layer took the place of one that stores (in, out), as GPT-2's do."""
    source = getattr(module, "source_cls", None)
    return source is not None and issubclass(source, Conv1D)


def element_count(parameter: Tensor) -> int:
    """Return the number of weights that a parameter stands for; two 4-bit weights share a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())
