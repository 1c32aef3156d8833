"""ONNX Runtime as an engine: one session per process, made for services.

- Fork: a child has none of its parent's threads, and destroying the parent's session there would wait for them
  forever. So a child leaves the inherited session untouched and unused, and creates its own at the first run.
- Telemetry: onnxruntime 1.32's Linux wheels send usage data to Microsoft, from a thread that starts on
  import. How often a classifier runs is its owner's business, and that thread keeps a forked child from
  ever exiting, so it is switched off unless the environment says otherwise (ORT_DISABLE_TELEMETRY).
- Spinning: by default onnxruntime's threads spin for milliseconds after a run, waiting for the next. Measured
  on two cores, one short text every 20 ms: 26 ms of processor time per text with it, 4.5 ms without; in a tight
  loop 0.9 ms per text with it, 1.2 ms without. Spinning for 20 microseconds keeps most of both benefits: 5.1 ms
  and 1.0 ms. In versions without that setting, spinning is switched off.
- Memory: concurrent runs each take their own, and the arena keeps the peak: 2 GB with 64 threads that
  classify batches. So at most two large runs are active at once, which is enough to fill the cores; short texts
  do not wait for them. An arena that grows only by what is requested, or none, was as large under load.
- Padding: a text in a batch with others is padded, and its logits may differ in the last bits from those it has alone.
- Fallback: onnxruntime runs on the CPU, with a line on stderr, if CUDA was requested but is not available.
  Here that is a DeviceError.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from liteft.artifact import Artifact, Manifest
from liteft.encoded import Encoded
from liteft.encoder.operator import TOKENS
from liteft.errors import ArtifactError, DeviceError, MissingExtraError, first_line, option
from liteft.installation import install_hint
from liteft.machine import read_processor
from liteft.runtime.dry_run import check_graph

__all__ = ["OnnxEngine", "has_cuda", "import_onnxruntime", "may_have_cuda", "session_options"]

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_DTYPES: dict[str, np.dtype[Any]] = {"tensor(int64)": np.dtype(np.int64), "tensor(int32)": np.dtype(np.int32)}
_SPIN_MICROSECONDS = 20
_SPIN_DURATION_SINCE = (1, 32)  # the version in which session.intra_op.spin_duration_us was seen to work
_CPU_TOKENS_PER_THREAD = 1024  # measured: see batching.py's docstring
_CPU_RUN_PRICE = 32
_LARGE_RUNS = 2  # maximum at once, on the CPU
_LARGE = 1 / 8  # of the token budget
_CUDA_TOKEN_BUDGET = 32768  # not measured yet: enough rows to fill a large GPU
_CUDA_RUN_PRICE = 2048


def import_onnxruntime() -> ModuleType:
    """Import onnxruntime with its telemetry switched off, and return the module.

    Raises:
        MissingExtraError: neither onnxruntime nor onnxruntime-gpu is installed.
    """
    if "onnxruntime" not in sys.modules:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f"onnxruntime cannot be imported: {first_line(error)}.",
            accepted={"extras": "cpu (onnxruntime) or gpu (onnxruntime-gpu)"},
            fix=install_hint("cpu"),
        ) from error
    module: ModuleType = onnxruntime
    return module


def session_options(*, exact: bool = True) -> Any:
    """Return onnxruntime's options for a session that logs errors alone and multiplies int8 exactly.

    On x86-64 without VNNI, onnxruntime adds pairs of 8-bit products in 16 bits, which saturate in silence: 17.5% of
    the texts of a small classifier got another label. There ``session.x64quantprecision`` selects kernels that do not.

    Args:
        exact: False where nothing can saturate, as with 7-bit weights.
    """
    options = import_onnxruntime().SessionOptions()
    options.log_severity_level = 3
    processor = read_processor()
    if exact and processor.architecture == "x86" and not (processor.features or {}).get("VNNI"):
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def may_have_cuda() -> bool:
    """Return whether onnxruntime's files include its CUDA provider, without the cost of importing it."""
    try:
        found = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):  # its import is blocked, or it was put into sys.modules by hand
        return False
    folders = (found.submodule_search_locations or []) if found is not None else []
    return any(any(Path(folder, "capi").glob("*onnxruntime_providers_cuda*")) for folder in folders)


def has_cuda() -> bool:
    """Return whether the installed onnxruntime was built with CUDA; the machine may still have no GPU."""
    return _CUDA in import_onnxruntime().get_available_providers()


class OnnxEngine:
    """An engine that runs an artifact's graph with ONNX Runtime.

    Args:
        artifact: a checked artifact.
        device: "cpu" or "cuda".
        threads: number of threads of a run on the CPU.
        or_cpu: fall back to the CPU if CUDA is not available, instead of raising.
        trust: accept operators that LiteFT does not write.

    Raises:
        DeviceError: ``device`` is not available.
        ArtifactError: the graph cannot be loaded, or is not a classifier.
        MissingExtraError: onnxruntime is not installed.
    """

    name = "onnxruntime"
    pads = True

    def __init__(
        self, artifact: Artifact, *, device: str, threads: int, or_cpu: bool = False, trust: bool = False
    ) -> None:
        check_graph(artifact, trust=trust)
        self._artifact = artifact
        self._threads = threads
        self.precision = "int8" if artifact.manifest.form.precision == "int8" else "fp32"
        self.per_token = artifact.manifest.per_token
        self._lock = threading.Lock()
        session = _new_session(artifact, device, threads)
        self.device = "cuda" if _CUDA in session.get_providers() else "cpu"
        if self.device != device and not or_cpu:
            raise DeviceError(
                "onnxruntime has CUDA but could not start it, so it would have run on the CPU.",
                accepted={"providers that started": ", ".join(session.get_providers())},
                fix=[
                    "see onnxruntime's messages on stderr for the missing library",
                    "liteft doctor",
                    option("device", "cpu"),
                ],
            )
        self.token_budget = _CUDA_TOKEN_BUDGET if self.device == "cuda" else _CPU_TOKENS_PER_THREAD * threads
        self.run_price = _CUDA_RUN_PRICE if self.device == "cuda" else _CPU_RUN_PRICE
        self._dtypes = _checked_inputs(session, artifact)
        _check_output(session, artifact)
        self._session: Any = session
        self._large_runs = threading.BoundedSemaphore(_LARGE_RUNS)

    def run(self, encoded: Encoded) -> np.ndarray:
        """Return logits, float32 (texts or tokens, labels); see ``Engine.run``."""
        session = self._session or self._session_of_this_process()
        ids, mask, types = encoded.padded(self._artifact.manifest.pad_id)
        rectangles = dict(zip(TOKENS, (ids, mask, types), strict=True))
        feed = {name: rectangles[name].astype(dtype, copy=False) for name, dtype in self._dtypes.items()}
        try:
            with self._place(feed["input_ids"].size):
                (logits,) = session.run(["logits"], feed)
        except Exception as error:  # onnxruntime raises its own classes, RuntimeError and MemoryError
            texts, width = feed["input_ids"].shape
            raise DeviceError(
                f"onnxruntime failed on a batch of {texts} texts, {width} tokens wide: {first_line(error)}.",
                fix="use a smaller token_budget if memory ran out",
            ) from error
        wanted = (*(ids.shape if self.per_token else ids.shape[:1]), len(self._artifact.manifest.labels))
        if np.shape(logits) != wanted:
            raise ArtifactError(
                f"{self._artifact.model_path} gave logits of shape {np.shape(logits)}.",
                accepted={"logits": f"{_axes(self._artifact.manifest)}, here {wanted}"},
                fix="export the model again",
            )
        logits = np.asarray(logits, dtype=np.float32)
        return logits[mask != 0] if self.per_token else logits

    def counters(self) -> None:
        """Return None: onnxruntime does not count."""

    def after_fork(self) -> None:
        """In a forked child, stop using the parent's session without destroying it. The next run creates a new one."""
        self._lock = threading.Lock()
        self._large_runs = threading.BoundedSemaphore(_LARGE_RUNS)
        if self._session is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session = None

    def _place(self, tokens: int) -> AbstractContextManager[Any]:
        """Return the context in which a run of this many tokens waits for its turn to allocate memory."""
        small = self.device == "cuda" or tokens <= _LARGE * self.token_budget
        return nullcontext() if small else self._large_runs

    def _session_of_this_process(self) -> Any:
        with self._lock:
            if self._session is None:
                self._artifact.check_model()
                self._session = _new_session(self._artifact, self.device, self._threads)
            return self._session


def _new_session(artifact: Artifact, device: str, threads: int) -> Any:
    onnxruntime = import_onnxruntime()
    if device == "cuda" and not has_cuda():
        raise DeviceError(
            f'the device "cuda" was requested, but onnxruntime {onnxruntime.__version__} has no {_CUDA}.',
            accepted={"providers": ", ".join(onnxruntime.get_available_providers())},
            fix=[f"pip uninstall onnxruntime; {install_hint('gpu')}", option("device", "cpu")],
        )
    options = session_options(exact=artifact.manifest.form.weight_bits != 7)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # a memory plan for every shape ever seen would grow without bound
    spins = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= _SPIN_DURATION_SINCE
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spins else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
    providers = [_CUDA, _CPU] if device == "cuda" else [_CPU]
    try:
        return onnxruntime.InferenceSession(str(artifact.model_path), options, providers=providers)
    except Exception as error:
        raise ArtifactError(
            f"onnxruntime {onnxruntime.__version__} cannot load {artifact.model_path}: {first_line(error)}.",
            fix=["install a newer onnxruntime", "export the model again"],
        ) from error


def _checked_inputs(session: Any, artifact: Artifact) -> dict[str, np.dtype[Any]]:
    """Return the dtype of each input of the graph, by name."""
    inputs = {value.name: value.type for value in session.get_inputs()}
    wanted = set(artifact.manifest.inputs)
    if set(inputs) != wanted or not wanted <= set(TOKENS) or not set(inputs.values()) <= set(_DTYPES):
        raise ArtifactError(
            f"{artifact.model_path} has other inputs than its manifest says.",
            accepted={
                "the manifest": ", ".join(sorted(wanted)),
                "the graph": ", ".join(f"{name} {kind}" for name, kind in sorted(inputs.items())),
                "inputs": f"{', '.join(TOKENS)}, of int64 or int32",
            },
            fix="export the model again",
        )
    return {name: _DTYPES[kind] for name, kind in inputs.items()}


def _check_output(session: Any, artifact: Artifact) -> None:
    shapes = {value.name: value.shape for value in session.get_outputs()}
    shape = shapes.get("logits")
    labels, axes = len(artifact.manifest.labels), 3 if artifact.manifest.per_token else 2
    if shape is None or len(shape) != axes or (isinstance(shape[-1], int) and shape[-1] != labels):
        raise ArtifactError(
            f"{artifact.model_path} has no output logits of shape {_axes(artifact.manifest)}, of {labels} labels.",
            accepted={"outputs": ", ".join(f"{name} {dims}" for name, dims in shapes.items())},
            fix="export the model again",
        )


def _axes(manifest: Manifest) -> str:
    return "(texts, tokens, labels)" if manifest.per_token else "(texts, labels)"
