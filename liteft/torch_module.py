"""An artifact as a torch module: the same engine that ``liteft.load`` runs, called with tensors.

For programs that are torch already: a DataLoader and a tokenizer of their own, an evaluation loop, a larger model
around the classifier. No padding is computed: the mask says what is real. There is no gradient.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from liteft.artifact import read_artifact
from liteft.errors import DeviceError
from liteft.runtime.backends import checked_threads, choose_engine
from liteft.runtime.native_engine import NativeEngine

__all__ = ["NativeModule", "native_module"]


class NativeModule(torch.nn.Module):
    """A classifier of the native engine as a module, for inference alone.

    Attributes:
        device_name: where it computes: "cpu" or "cuda".
        precision: of its products.
    """

    def __init__(self, engine: NativeEngine) -> None:
        super().__init__()
        self._engine = engine
        self.device_name, self.precision = engine.device, engine.precision

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return logits.

        Args:
            input_ids: integers, shape (texts, tokens). Best on the host, where a tokenizer makes them: what lies on
                a GPU is copied to the host first, since the engine gathers the real tokens there.
            attention_mask: same shape, 0 for padding; None where every token is real.
            token_type_ids: same shape; None where all are 0.

        Returns:
            float32, shape (texts, labels), on the device of ``input_ids``, without a gradient.

        Raises:
            DeviceError: the shapes differ, an id is out of range, a row has no token, or the engine failed.
        """
        if input_ids.dim() != 2:
            raise DeviceError(
                f"input_ids has shape {tuple(input_ids.shape)}.",
                accepted={"shape": "(texts, tokens)"},
                fix="input_ids.unsqueeze(0), for one text",
            )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        types = None if token_type_ids is None else _host(token_type_ids)
        return torch.from_numpy(self._engine.run_padded(_host(input_ids), _host(mask), types)).to(input_ids.device)


def _host(integers: Tensor) -> np.ndarray:
    """Return a tensor's values as int64, on the host; its own memory where it is that already."""
    return np.asarray(integers.detach().cpu().long().numpy())


def native_module(
    path: str | Path, *, device: str = "cpu", threads: int | None = None, engine_precision: str | None = None
) -> NativeModule:
    """Return an artifact as a torch module that computes in the native engine.

    Args:
        path: the artifact's folder.
        device: "cpu" or "cuda": where the engine computes, wherever the tensors lie. No GPU has run it yet.
        threads: threads of a run on the CPU; None for the physical cores that this process may use.
        engine_precision: as in ``liteft.load``.

    Raises:
        ArtifactError: no artifact, or a changed byte.
        DeviceError: the native engine cannot run this artifact there; why.
    """
    engine = choose_engine(
        read_artifact(path),
        device=device,
        backend="native",
        threads=checked_threads(threads),
        engine_precision=engine_precision,
    )
    return NativeModule(cast(NativeEngine, engine))
