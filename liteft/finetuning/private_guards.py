"""What differential privacy needs beside Opacus: noise that nobody can compute again, and gradients of single texts."""

from __future__ import annotations

import contextlib
import secrets
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from liteft.errors import ConfigError, leave_out, option

__all__ = ["require_apart", "secret_generator", "without_warnings"]

_STATE = slice(24, 24 + 8 * 624)
"""Place of the 624 words in the state of torch's generator on the CPU, each 4 bytes in 8: ATen/CPUGeneratorImpl.cpp."""


def secret_generator(device: torch.device) -> torch.Generator:
    """Return a generator of normal numbers on a device, from the system's randomness.

    On the CPU torch's generator, a Mersenne twister, reads only 32 bits of a seed: few enough to try them all and to
    take the noise away again. So its whole state is drawn. The generators of GPUs read 64 bits.
    """
    generator = torch.Generator(device).manual_seed(secrets.randbits(63))
    if device.type == "cpu":
        words = torch.frombuffer(bytearray(secrets.token_bytes(4 * 624)), dtype=torch.int32)
        state = generator.get_state()
        state[_STATE].view(torch.int64).copy_(words.to(torch.int64) & 0xFFFFFFFF)
        generator.set_state(state)
    return generator


def require_apart(wrapped: Any, logits_of: Callable[[nn.Module, np.ndarray], Tensor], count: int) -> None:
    """Refuse a model in which a text's gradient holds a part of another text's: clipping would not bound it.

    DeBERTa computes its relative positions once for all texts of a batch, by layers that read the texts, too: Opacus
    counts the gradients of that to the first text. So the loss of one text must leave none in another one's gradient.

    Raises:
        ConfigError: it does.
    """
    for alone in (0, 1) if count > 1 else ():
        with without_warnings():
            logits_of(wrapped, np.array([0, 1]))[alone].float().logsumexp(dim=-1).backward()
        for name, weight in wrapped.named_parameters():
            found = getattr(weight, "grad_sample", None)
            if found is not None and bool(found[1 - alone].any()):
                layer = name.removeprefix("_module.")
                raise ConfigError(
                    f"the gradients of single texts cannot be told apart in this model: {layer} also computes what all "
                    "texts of a batch share.",
                    accepted={"with an epsilon": "layers that compute with one text at a time"},
                    fix=[leave_out("lora_rank"), option("teacher.lora_targets", ["value_proj", "dense"])],
                )
            weight.grad_sample = None


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Say nothing of features that need no gradient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
