"""An artifact as a torch module: the native engine of ``liteft.load``, called with tensors.

It is meant for programs that use torch already: with their own DataLoader and tokenizer, an evaluation loop, or a
larger model around the classifier. Padding, as given by the mask, is not computed. There is no gradient.
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
    """A classifier in the native engine as a torch module, for inference only.

    Attributes:
        device_name: the device that computes: "cpu" or "cuda".
        precision: precision of its matmuls.
    """

    def __init__(self, engine: NativeEngine) -> None:
        super().__init__()
        self._engine = engine
        self.device_name, self.precision = engine.device, engine.precision

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return the logits of a batch.

        Args:
            input_ids: integers (texts, tokens), preferably on the host: a tensor on a GPU is copied to the host first,
                where the engine removes the padding.
            attention_mask: integers of the same shape, 0 for padding; None if there is no padding.
            token_type_ids: integers of the same shape; None if all are 0.

        Returns:
            float32 (texts, labels), on the device of ``input_ids``, without a gradient. A classifier of tokens gives
            (texts, tokens, labels), with zeros where the mask is 0.

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
    """Return a tensor as an int64 array on the host, without a copy if it is one already."""
    return np.asarray(integers.detach().cpu().long().numpy())


def native_module(
    path: str | Path, *, device: str = "cpu", threads: int | None = None, engine_precision: str | None = None
) -> NativeModule:
    """Return an artifact as a torch module that computes in the native engine.

    Args:
        path: the artifact's folder.
        device: "cpu" or "cuda": the device that computes, independent of the tensors' device. There is no "auto": the
            native engine uses CUDA only where it is named, as in ``liteft.load``, and has not been tested on a GPU yet.
        threads: threads on the CPU; None for the number of physical cores that this process may use.
        engine_precision: as in ``liteft.load``.

    Raises:
        ArtifactError: the folder is not an artifact, or a file was changed.
        DeviceError: the native engine cannot run this artifact on this device; the error says why.
    """
    engine = choose_engine(
        read_artifact(path),
        device=device,
        backend="native",
        threads=checked_threads(threads),
        engine_precision=engine_precision,
    )
    return NativeModule(cast(NativeEngine, engine))
