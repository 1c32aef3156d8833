"""Worker processes of bench/cuda_engines.py: a contestant that faults or never ends stops only its own process."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from cuda_contestants import Contestant, NotHere, measure
from cuda_entries import CONTESTANTS


class Refused(RuntimeError):
    """The contestant is not available on this machine."""


class Worker:
    """A process for the contestants of a group, which is started again after it has died."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        self._process: Any = None
        self._pipe: Any = None

    def ask(self, call: str, *arguments: Any, seconds: float) -> Any:
        """Make a call in the process, and return its answer.

        Raises:
            Refused: the contestant is not available.
            RuntimeError: the call failed, or the process died, or it took longer than ``seconds`` and was ended.
        """
        if self._process is None:
            self._start()
        try:
            self._pipe.send((call, arguments))
            if not self._pipe.poll(seconds):
                self.close()
                raise RuntimeError(f"no answer in {seconds:.0f} seconds")
            status, answer = self._pipe.recv()
        except (EOFError, OSError):
            process = self._process
            process.join(5)
            self.close()
            raise RuntimeError(f"its process died, exit code {process.exitcode}") from None
        if status == "refused":
            raise Refused(answer)
        if status == "failed":
            self.close()  # after an error CUDA may refuse everything that follows in the process
            raise RuntimeError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, self._folder, self._device), daemon=False)
        self._process.start()
        other.close()


def _serve(pipe: Connection, folder: Path, device: str) -> None:
    made: dict[tuple[str, str], Contestant] = {}
    models = Models(folder, device)

    def contestant(name: str, model: str) -> Contestant:
        for key in [key for key in made if key[1] != model]:
            made.pop(key).close()
        if (name, model) not in made:
            made[name, model] = CONTESTANTS[name].make(folder / model, device)
        return made[name, model]

    calls: dict[str, Callable[..., Any]] = {
        "gpu": lambda: _gpu(device),
        "make": models.make,
        "reference": models.reference,
        "logits": lambda name, model, batches: np.concatenate([contestant(name, model).run(ids) for ids in batches]),
        "measure": lambda name, model, batches: measure(contestant(name, model), batches),
        "labels": _labels,
    }
    with contextlib.suppress(EOFError, OSError):  # raised when the process that makes the calls has ended
        while True:
            call, arguments = pipe.recv()
            try:
                answer = "good", calls[call](*arguments)
            except NotHere as error:
                answer = "refused", str(error)
            except ModuleNotFoundError as error:
                answer = "refused", f"the package {error.name} is not installed" if error.name else str(error)
            except Exception as error:
                answer = "failed", f"{type(error).__name__}: {error}"[:2000]
            pipe.send(answer)


def _gpu(device: str) -> dict[str, Any]:
    """Return the GPU's name as torch and LiteFT report it, or why they cannot use it."""
    from cuda_liteft import gpu

    name, reason = gpu()
    report: dict[str, Any] = {"liteft": name or None, "liteft_reason": reason}
    try:
        import torch

        there = device != "cuda" or torch.cuda.is_available()
        report["torch"] = (torch.cuda.get_device_name(0) if device == "cuda" else device) if there else None
        report["torch_reason"] = "" if there else "torch finds no CUDA device"
    except ImportError as error:
        report |= {"torch": None, "torch_reason": str(error)}
    return report


class Models:
    """Makes the contestants' models, and computes torch's logits in float32 with one model on the device at a time."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        self._name, self._model = "", None

    def make(self, name: str, graph: bool) -> dict[str, Any]:
        """Write a model in the forms that contestants read, and its logits in float32.

        Args:
            name: a key of MODELS.
            graph: also write the graph for ONNX Runtime.

        Returns:
            What was made, and under "yardsticks" the error of torch itself in fp16 and bf16.
        """
        import torch
        from cuda_models import checked_ids, make_model, own_error, reference, write_liteft, write_onnxruntime

        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        report: dict[str, Any] = {"model": "found"}
        if not (folder / "reference.npy").exists():
            model = make_model(name, self._device)
            logits = reference(model, checked_ids())
            errors = {precision: own_error(model, precision, logits) for precision in ("fp16", "bf16")}
            (folder / "yardsticks.json").write_text(json.dumps(errors), encoding="utf-8")
            write_liteft(model, folder)
            torch.save(model.cpu(), folder / "torch.pt")
            np.save(folder / "reference.npy", logits)  # written last: if it exists, the folder is complete
            report = {"model": "made"}
        report["yardsticks"] = json.loads((folder / "yardsticks.json").read_text(encoding="utf-8"))
        if graph and _has_cuda_provider() and not (folder / "onnxruntime").exists():
            try:
                model = torch.load(folder / "torch.pt", map_location="cpu", weights_only=False)
                report["onnxruntime"] = write_onnxruntime(model, name, folder / "onnxruntime")
            except Exception as error:
                report["onnxruntime"] = f"{type(error).__name__}: {error}"[:2000]
        return report

    def reference(self, name: str, batches: Any) -> np.ndarray:
        """Return a model's logits in float32 from torch's own module."""
        from cuda_models import batched_reference
        from cuda_torch import load_model

        if self._name != name:
            self._model = None  # frees its memory first
            self._name, self._model = name, load_model(self._folder / name, self._device, "fp32")
        return batched_reference(self._model, batches)


def _has_cuda_provider() -> bool:
    try:
        import onnxruntime
    except ImportError:
        return False
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _labels(artifact: Path, sets: dict[str, list[int]]) -> list[dict[str, Any]]:
    from cuda_labels import time_labels

    return time_labels(artifact, sets)
