"""Findings about the installed builds of ONNX Runtime and torch, and whether they can use the machine's GPU.

Two problems of ONNX Runtime are detected that it does not report itself. The packages onnxruntime and onnxruntime-gpu
install into one folder: if both are installed, the later one silently replaces the other's files, and removing one
breaks the other. And a CUDA provider that lacks a CUDA library fails to start, after which ONNX Runtime silently uses
the CPU.
"""

from __future__ import annotations

import ctypes
import os
from importlib import metadata
from pathlib import Path

from liteft.doctor.finding import Finding
from liteft.doctor.machine import Gpus
from liteft.doctor.packages import installed_version
from liteft.errors import MissingExtraError, first_line
from liteft.installation import install_hint
from liteft.runtime.onnx_engine import import_onnxruntime

__all__ = ["onnxruntime_builds", "onnxruntime_findings", "torch_findings"]

_BUILDS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
)
_CUDA = "CUDAExecutionProvider"


def onnxruntime_builds() -> dict[str, str]:
    """Return the installed builds of ONNX Runtime: package -> version."""
    return {name: version for name in _BUILDS if (version := installed_version(name)) is not None}


def onnxruntime_findings(gpus: Gpus) -> list[Finding]:
    """Return which ONNX Runtime is installed, whether it works, and whether it can use the GPU."""
    builds = onnxruntime_builds()
    if not builds:
        extra = "gpu" if gpus.names else "cpu"
        meaning = "not installed: exports cannot be verified, and only the native library can run artifacts"
        return [Finding("onnxruntime", "off", meaning, (install_hint(extra),))]
    listed = " and ".join(f"{name} {version}" for name, version in builds.items())
    if len(builds) > 1:
        keep = "onnxruntime-gpu" if "onnxruntime-gpu" in builds and gpus.names else next(iter(builds))
        meaning = f"{listed} overwrite each other's files in one folder: which one runs is undefined"
        fix = (f"pip uninstall -y {' '.join(builds)}", f"pip install {keep}")
        return [Finding("onnxruntime", "problem", meaning, fix)]
    (build,) = builds
    try:
        module = import_onnxruntime()
        providers = list(module.get_available_providers())
    except (MissingExtraError, AttributeError, OSError) as error:
        reason = first_line(error.__cause__ or error)
        again = f"pip install --force-reinstall --no-deps {build}=={builds[build]}"
        meaning = f"{listed} is installed but cannot be imported: {reason}"
        return [Finding("onnxruntime", "problem", meaning, (again,))]
    short = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    found = Finding("onnxruntime", "ok", f"{listed}; providers: {short}")
    return [found, *_cuda_finding(build, providers, Path(module.__file__ or "").parent, gpus)]


def _cuda_finding(build: str, providers: list[str], folder: Path, gpus: Gpus) -> list[Finding]:
    """Return whether ONNX Runtime can use the GPU; empty if there is neither a GPU nor a CUDA build."""
    if _CUDA in providers and gpus.names:
        missing = _load_provider(folder)
        if missing is None:
            return [Finding("onnxruntime CUDA", "ok", "the CUDA provider and its libraries load")]
        meaning = f"the CUDA provider does not load, so models would run on the CPU: {missing}"
        fix = (
            "pip install 'onnxruntime-gpu[cuda,cudnn]'",
            "or add CUDA's and cuDNN's folders to LD_LIBRARY_PATH",
        )
        return [Finding("onnxruntime CUDA", "problem", meaning, fix)]
    if _CUDA in providers:
        return [Finding("onnxruntime CUDA", "off", f"{build} could use CUDA, but {gpus.reason}")]
    if gpus.names:
        meaning = f"there is a GPU, and {build} was built without CUDA: artifacts run on the CPU"
        broken = build == "onnxruntime-gpu"
        fix = (f"pip uninstall -y {build}", install_hint("gpu"))
        return [Finding("onnxruntime CUDA", "problem" if broken else "off", meaning, fix)]
    return []


def _load_provider(folder: Path) -> str | None:
    """Load the CUDA provider as ONNX Runtime would; return the loader's complaint, or None."""
    if os.name == "nt":
        names = ("onnxruntime_providers_shared.dll", "onnxruntime_providers_cuda.dll")
    else:
        names = ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so")
    try:
        for name in names:
            ctypes.CDLL(str(folder / "capi" / name), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return first_line(error)
    return None


def torch_findings(gpus: Gpus) -> list[Finding]:
    """Return whether torch is a build that can use the GPU; empty without torch, which extra_findings reports."""
    version = installed_version("torch")
    if version is None:
        return []
    if gpus.names and _is_cpu_build(version):
        meaning = f"torch {version} is a CPU build: training leaves the GPU idle"
        release = version.split("+")[0]
        fix = ("pip uninstall -y torch", f"pip install torch=={release}")
        return [Finding("torch", "off", meaning, fix)]
    if not gpus.names:
        return [Finding("torch", "ok", f"torch {version} trains on the CPU")]
    return [Finding("torch", "ok", f"torch {version} trains on the GPU")]


def _is_cpu_build(version: str) -> bool:
    """Return whether torch is a build without CUDA, judged by its local version or by its requirements."""
    if "+" in version:
        return "cpu" in version.split("+")[1]
    try:
        asked = metadata.requires("torch") or []
    except metadata.PackageNotFoundError:
        return False
    return not any(line.startswith(("nvidia-", "cuda-")) for line in asked)
