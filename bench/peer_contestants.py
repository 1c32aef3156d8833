"""What takes part in bench/peers.py: each engine behind the same three calls, at its own best settings.

A contestant turns batches of texts, or of token ids, into logits. All but LiteFT pad to the longest text of the batch.
All tokenize with the tokenizers library. Imports stand where they are used: a worker process holds one engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from peer_models import INPUTS

MAX_TOKENS = 256
PAD_ID = 0

Ids = Sequence[Sequence[int]]


class Contestant(ABC):
    """An engine with a model, on a number of threads."""

    def __init__(self, checkpoint: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return token ids, without padding."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def classify(self, texts: Sequence[str]) -> np.ndarray:
        """Return logits, float32 (texts, labels)."""
        return self.run(self.encode(texts))

    @abstractmethod
    def run(self, ids: Ids) -> np.ndarray:
        """Return logits, float32 (texts, labels), of token ids."""


def rectangle(ids: Ids) -> dict[str, np.ndarray]:
    """Return ids, mask and type ids, int64 (texts, longest)."""
    lengths = np.array([len(row) for row in ids])
    padded = np.full((len(ids), lengths.max()), PAD_ID, dtype=np.int64)
    mask = np.arange(lengths.max()) < lengths[:, None]
    padded[mask] = np.concatenate(ids)
    return dict(zip(INPUTS, (padded, mask.astype(np.int64), np.zeros_like(padded)), strict=True))


class Torch(Contestant):
    """PyTorch in float32, eager or compiled with dynamic shapes."""

    def __init__(self, checkpoint: Path, _: Path, threads: int, *, compiled: bool) -> None:
        super().__init__(checkpoint)
        import torch
        from peer_models import load_checkpoint

        torch.set_num_threads(threads)
        self._torch = torch
        model = load_checkpoint(checkpoint)
        self._model = torch.compile(model, dynamic=True) if compiled else model

    def run(self, ids: Ids) -> np.ndarray:
        torch = self._torch
        with torch.inference_mode():
            feed = [torch.from_numpy(array) for array in rectangle(ids).values()]
            return self._model(*feed).numpy()


class OnnxRuntime(Contestant):
    """ONNX Runtime on the graph that its own optimizer and quantizer made."""

    def __init__(self, checkpoint: Path, folder: Path, threads: int) -> None:
        super().__init__(checkpoint)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self._inputs = [value.name for value in self._session.get_inputs()]

    def run(self, ids: Ids) -> np.ndarray:
        feed = rectangle(ids)
        return self._session.run(None, {name: feed[name] for name in self._inputs})[0]


class OpenVino(Contestant):
    """OpenVINO, one stream, latency hint; a float model in float32."""

    def __init__(self, checkpoint: Path, folder: Path, threads: int, *, int8: bool) -> None:
        super().__init__(checkpoint)
        import openvino

        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if not int8:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._request = (
            openvino.Core().compile_model(folder / "model.xml", "CPU", settings).create_infer_request()
        )

    def run(self, ids: Ids) -> np.ndarray:
        self._request.infer(rectangle(ids), share_inputs=True)
        return self._request.get_output_tensor(0).data.copy()


class CTranslate2(Contestant):
    """CTranslate2's encoder and pooler; the classifier is one small product in numpy."""

    def __init__(self, checkpoint: Path, folder: Path, threads: int, *, compute_type: str) -> None:
        super().__init__(checkpoint)
        import ctranslate2

        self._encoder = ctranslate2.Encoder(
            str(folder), device="cpu", inter_threads=1, intra_threads=threads, compute_type=compute_type
        )
        head = np.load(folder / "classifier.npz")
        self._weight, self._bias = head["weight"].T.copy(), head["bias"]

    def run(self, ids: Ids) -> np.ndarray:
        pooled = np.array(self._encoder.forward_batch([list(row) for row in ids]).pooler_output)
        return pooled @ self._weight + self._bias


class LiteFT(Contestant):
    """LiteFT through its public API; token ids go to the engine below it."""

    def __init__(
        self, checkpoint: Path, folder: Path, threads: int, *, backend: str, precision: str | None = None
    ) -> None:
        super().__init__(checkpoint)
        import liteft

        self._classifier = liteft.load(
            folder, device="cpu", backend=backend, threads=threads, precision=precision
        )
        self._engine = self._classifier._open_engine()

    def classify(self, texts: Sequence[str]) -> np.ndarray:
        return self._classifier.logits(list(texts))

    def run(self, ids: Ids) -> np.ndarray:
        rows = [np.asarray(row, dtype=np.int32) for row in ids]
        return self._engine.run(rows, [np.zeros_like(row) for row in rows])


def contestants() -> dict[str, tuple[str, bool, Callable[..., Contestant]]]:
    """Return name -> (the converted model it takes, whether it is int8, how it is made)."""

    def made(kind: type[Contestant], **keywords: Any) -> Callable[..., Contestant]:
        return lambda checkpoint, folder, threads: kind(checkpoint, folder, threads, **keywords)

    return {
        "torch eager fp32": ("checkpoint", False, made(Torch, compiled=False)),
        "torch compile fp32": ("checkpoint", False, made(Torch, compiled=True)),
        "ONNX Runtime fp32": ("onnxruntime-fp32", False, made(OnnxRuntime)),
        "ONNX Runtime int8": ("onnxruntime-int8", True, made(OnnxRuntime)),
        "OpenVINO fp32": ("openvino-fp32", False, made(OpenVino, int8=False)),
        "OpenVINO int8": ("openvino-int8", True, made(OpenVino, int8=True)),
        "CTranslate2 fp32": ("ctranslate2", False, made(CTranslate2, compute_type="float32")),
        "CTranslate2 int8": ("ctranslate2", True, made(CTranslate2, compute_type="int8")),
        "LiteFT file in ONNX Runtime fp32": ("liteft-fp32", False, made(LiteFT, backend="onnxruntime")),
        "LiteFT file in ONNX Runtime int8": ("liteft-int8", True, made(LiteFT, backend="onnxruntime")),
        "LiteFT fp32": ("liteft-fp32", False, made(LiteFT, backend="native")),
        "LiteFT bf16": ("liteft-fp32", False, made(LiteFT, backend="native", precision="bf16")),
        "LiteFT int8": ("liteft-int8", True, made(LiteFT, backend="native")),
    }
