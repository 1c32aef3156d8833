"""The engines that bench/peers.py compares, each at its own best settings, behind the same interface.

A contestant turns batches of texts, or of token ids, into logits. All but LiteFT pad to the longest text of the batch.
All tokenize with the tokenizers library. Engines are imported where they are used, since a worker process runs only
one.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import own_module
from peer_kinds import Text, kind_of
from peer_models import INPUTS

PAD_ID = 0

Ids = Sequence[Sequence[int]]
Types = Sequence[Sequence[int]] | None


@dataclass(frozen=True)
class Cores:
    """How a contestant may use the machine.

    Attributes:
        lanes: number of calls at a time.
        threads: threads per call.
    """

    lanes: int
    threads: int

    @classmethod
    def parse(cls, text: str) -> Cores:
        """Parse "2" (one call with two threads) or "2x1" (two calls at a time with one thread each)."""
        lanes, _, threads = text.rpartition("x")
        found = cls(int(lanes or 1), int(threads))
        if min(found.lanes, found.threads) < 1:
            raise ValueError(text)
        return found

    def __str__(self) -> str:
        return f"{self.threads}" if self.lanes == 1 else f"{self.lanes}x{self.threads}"

    @property
    def used(self) -> int:
        """How many threads compute at a time."""
        return self.lanes * self.threads


class Contestant(ABC):
    """An engine that runs one model; it may be called from as many threads as it has lanes."""

    def __init__(self, checkpoint: Path) -> None:
        self._kind = kind_of(checkpoint)
        self._read = self._kind.reader(checkpoint)

    def encode(self, texts: Sequence[Text]) -> list[list[int]]:
        """Return the token ids of texts, without padding."""
        return self._read(texts).ids

    def classify(self, texts: Sequence[Text]) -> np.ndarray:
        """Return the logits of texts, of their words or of their units, float32, shape (..., labels)."""
        rows = self._read(texts)
        logits = self.run(rows.ids, rows.types)
        return logits if rows.places is None else logits[rows.places]

    @abstractmethod
    def run(self, ids: Ids, types: Types = None) -> np.ndarray:
        """Return the logits of token ids, float32, shape (rows, labels), or (rows, longest, labels) for words."""


def rectangle(ids: Ids, types: Types = None) -> dict[str, np.ndarray]:
    """Pad token ids: return ids, mask and type ids, int64, shape (texts, longest)."""
    lengths = np.array([len(row) for row in ids])
    padded = np.full((len(ids), lengths.max()), PAD_ID, dtype=np.int64)
    mask = np.arange(lengths.max()) < lengths[:, None]
    padded[mask] = np.concatenate(ids)
    padded_types = np.zeros_like(padded)
    if types is not None:
        padded_types[mask] = np.concatenate(types)
    return dict(zip(INPUTS, (padded, mask.astype(np.int64), padded_types), strict=True))


class Torch(Contestant):
    """PyTorch in float32, eager, or compiled with dynamic shapes and frozen weights."""

    def __init__(self, checkpoint: Path, _: Path, cores: Cores, *, compiled: bool) -> None:
        super().__init__(checkpoint)
        os.environ["TORCHINDUCTOR_FREEZING"] = "1"  # weights become constants, packed once
        import torch
        from peer_models import load_checkpoint

        torch.set_num_threads(cores.threads)
        self._torch = torch
        model = load_checkpoint(checkpoint)
        self._model = torch.compile(model, dynamic=True) if compiled else model

    def run(self, ids: Ids, types: Types = None) -> np.ndarray:
        torch = self._torch
        with torch.no_grad():
            feed = [torch.from_numpy(array) for array in rectangle(ids, types).values()]
            return self._model(*feed).numpy()


class OnnxRuntime(Contestant):
    """ONNX Runtime on a graph from its own optimizer and quantizer."""

    def __init__(self, checkpoint: Path, folder: Path, cores: Cores) -> None:
        super().__init__(checkpoint)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores.threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [value.name for value in self._session.get_inputs()]

    def run(self, ids: Ids, types: Types = None) -> np.ndarray:
        feed = rectangle(ids, types)
        return self._session.run(None, {name: feed[name] for name in self._inputs})[0]


class OpenVino(Contestant):
    """OpenVINO, with one stream and one request per lane; float models are computed in float32."""

    def __init__(self, checkpoint: Path, folder: Path, cores: Cores, *, int8: bool) -> None:
        super().__init__(checkpoint)
        import openvino

        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": cores.used, "NUM_STREAMS": cores.lanes}
        if not int8:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._model = openvino.Core().compile_model(folder / "model.xml", "CPU", settings)
        self._lane = threading.local()

    def run(self, ids: Ids, types: Types = None) -> np.ndarray:
        request = getattr(self._lane, "request", None)
        if request is None:
            request = self._lane.request = self._model.create_infer_request()
        request.infer(rectangle(ids, types), share_inputs=True)
        return request.get_output_tensor(0).data.copy()


class CTranslate2(Contestant):
    """CTranslate2's encoder, and pooler if there is one; the classifier layer is a small matmul in numpy."""

    def __init__(self, checkpoint: Path, folder: Path, cores: Cores, *, compute_type: str) -> None:
        super().__init__(checkpoint)
        if "avx512bw" in (own_module("machine.py").read_processor().flags or ()):
            os.environ["CT2_FORCE_CPU_ISA"] = "AVX512"  # by default CTranslate2 uses AVX2, which is slower
        import ctranslate2

        self._encoder = ctranslate2.Encoder(
            str(folder),
            device="cpu",
            inter_threads=cores.lanes,
            intra_threads=cores.threads,
            compute_type=compute_type,
        )
        head = np.load(folder / "classifier.npz")
        self._weight, self._bias = head["weight"].T.copy(), head["bias"]

    def run(self, ids: Ids, types: Types = None) -> np.ndarray:
        given = None if types is None else [list(row) for row in types]
        found = self._encoder.forward_batch([list(row) for row in ids], token_type_ids=given)
        states = np.array(found.pooler_output if self._kind.pooled else found.last_hidden_state)
        return states @ self._weight + self._bias


class LiteFT(Contestant):
    """LiteFT through its public API."""

    def __init__(
        self, checkpoint: Path, folder: Path, cores: Cores, *, backend: str, precision: str | None = None
    ) -> None:
        super().__init__(checkpoint)
        import liteft
        from liteft.answer_spans import BEGIN

        self._classifier = liteft.load(
            folder, device="cpu", backend=backend, threads=cores.threads, engine_precision=precision
        )

        self._encoded = liteft.Encoded.of
        self._begin = BEGIN

    def classify(self, texts: Sequence[Text]) -> np.ndarray:
        if not self._kind.classes:
            questions, contexts = zip(*texts, strict=True)
            units = self._classifier.logits(questions, contexts).values
            return units[units[:, self._begin] >= 0, :2]
        logits = self._classifier.logits(list(texts))
        return logits if self._kind.pooled else logits.values

    def run(self, ids: Ids, types: Types = None) -> np.ndarray:
        return self._classifier.run(self._encoded(ids, types))


@dataclass(frozen=True)
class Entry:
    """A contestant of the comparison.

    Attributes:
        model: name of the converted model that it runs.
        precision: "fp32", "bf16" or "int8".
        kind: its class.
        settings: keyword arguments of the class.
        lanes: whether it is also timed with several calls at a time. torch is not, since Python serializes its calls.
    """

    model: str
    precision: str
    kind: Callable[..., Contestant]
    settings: dict[str, Any]
    lanes: bool = True

    def make(self, checkpoint: Path, folder: Path, cores: Cores) -> Contestant:
        return self.kind(checkpoint, folder, cores, **self.settings)


CONTESTANTS = {
    "torch eager fp32": Entry("checkpoint", "fp32", Torch, {"compiled": False}, lanes=False),
    "torch compile fp32": Entry("checkpoint", "fp32", Torch, {"compiled": True}, lanes=False),
    "ONNX Runtime fp32": Entry("onnxruntime-fp32", "fp32", OnnxRuntime, {}),
    "ONNX Runtime int8": Entry("onnxruntime-int8", "int8", OnnxRuntime, {}),
    "OpenVINO fp32": Entry("openvino-fp32", "fp32", OpenVino, {"int8": False}),
    "OpenVINO int8": Entry("openvino-int8", "int8", OpenVino, {"int8": True}),
    "CTranslate2 fp32": Entry("ctranslate2", "fp32", CTranslate2, {"compute_type": "float32"}),
    "CTranslate2 int8": Entry("ctranslate2", "int8", CTranslate2, {"compute_type": "int8"}),
    "LiteFT file in ONNX Runtime fp32": Entry("liteft-fp32", "fp32", LiteFT, {"backend": "onnxruntime"}),
    "LiteFT file in ONNX Runtime int8": Entry("liteft-int8", "int8", LiteFT, {"backend": "onnxruntime"}),
    "LiteFT fp32": Entry("liteft-fp32", "fp32", LiteFT, {"backend": "native"}),
    "LiteFT bf16": Entry("liteft-fp32", "bf16", LiteFT, {"backend": "native", "precision": "bf16"}),
    "LiteFT int8": Entry("liteft-int8", "int8", LiteFT, {"backend": "native"}),
}
