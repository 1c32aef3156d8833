"""Findings about the native library, and about the backend that ``backend="auto"`` selects on this machine."""

from __future__ import annotations

from liteft.doctor.finding import Finding
from liteft.doctor.machine import Gpus
from liteft.doctor.providers import onnxruntime_builds
from liteft.errors import DeviceError
from liteft.installation import install_hint
from liteft.runtime.cuda_places import cublas_path
from liteft.runtime.native_library import ABI, VARIABLE, NativeLibrary, asked_for, find_library, open_library
from liteft.runtime.onnx_engine import may_have_cuda

__all__ = ["backend_findings", "native_findings"]

_WHY = {
    "avx512": "the processor has AVX-512 with VNNI and BF16",
    "avx512vnni": "the processor has AVX-512 with VNNI, but no BF16",
    "avxvnni": "the processor has AVX2 with VNNI, but no AVX-512 with VNNI",
    "avx2": "the processor has AVX2 and FMA, but no VNNI that the library supports",
    "neon": "the processor is an ARM with integer dot products",
    "portable": "plain C++: the processor has no vector instructions that the library supports",
}


def native_findings() -> list[Finding]:
    """Return the path, version and instruction set of the native library, or why it cannot be used."""
    try:
        library = open_library()
    except DeviceError as error:
        present = asked_for() or _is_there()
        meaning = error.message + ("" if present else " ONNX Runtime runs every artifact.")
        hints = tuple(error.command_hints())
        return [Finding("native library", "problem" if present else "off", meaning.rstrip("."), hints)]
    name = library.instructions
    why = _WHY.get(name, "the best available for this processor")
    detail = f"{library.path}, version {library.version}, ABI {ABI}; instructions: {name} ({why})"
    return [Finding("native library", "ok", detail), _cuda_finding(library)]


def _cuda_finding(library: NativeLibrary) -> Finding:
    """Return whether the native library can use a GPU, or why not."""
    gpu, reason = library.gpu(cublas_path())
    untested = "it has not been tested on a GPU yet"
    if gpu:
        return Finding("native CUDA", "ok", f'{gpu}; for backend="native" with device="cuda"; {untested}')
    return Finding("native CUDA", "off", f"{reason}; {untested}")


def backend_findings(gpus: Gpus) -> list[Finding]:
    """Return which backend ``liteft.load`` selects by default."""
    library = _library()
    other = bool(onnxruntime_builds())
    fast = library is not None and library.fast
    if library is None and asked_for():
        meaning = f'backend="auto" refuses every artifact while {VARIABLE} names a library that cannot be loaded'
        return [Finding("backend", "off", meaning, (f"unset {VARIABLE}",))]
    if not fast and not other:
        meaning = "no backend can run an artifact unless one is named"
        return [Finding("backend", "off", meaning, (install_hint("cpu"),))]
    if not fast:
        return [Finding("backend", "ok", 'backend="auto" selects onnxruntime for every artifact')]
    detail = 'backend="auto" selects native for graphs of one node'
    detail += ", and onnxruntime for flat and traced ones" if other else "; flat and traced ones need onnxruntime"
    if other and gpus.names and may_have_cuda():
        detail += "; and onnxruntime on CUDA for every artifact other than int8"
    return [Finding("backend", "ok", detail)]


def _library() -> NativeLibrary | None:
    try:
        return open_library()
    except DeviceError:
        return None


def _is_there() -> bool:
    try:
        find_library()
    except DeviceError:
        return False
    return True
