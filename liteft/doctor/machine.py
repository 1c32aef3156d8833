"""Findings about the cores, the memory and the GPU that this process may use.

A container's quota and a pinned process count: they are the usual reasons for "it is slower than on my laptop". The
GPU is queried through nvidia-smi or, where that is missing (in most containers), through the driver's library; neither
needs torch.
"""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from liteft.doctor.finding import Finding
from liteft.runtime.cores import usable_cores

__all__ = ["Gpus", "core_findings", "gpu_findings", "memory_findings", "read_gpus", "untested_findings"]

_CGROUP = Path("/sys/fs/cgroup")
_PCI = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_DRIVER_MISMATCH = 803  # CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def core_findings(
    *, environment: Mapping[str, str] | None = None, logical: int | None = None, usable: int | None = None
) -> list[Finding]:
    """Return how many cores the process may use, and the variables that limit it to fewer threads.

    Args:
        environment: environment variables; None for this process's.
        logical: number of logical processors of the machine; None detects it.
        usable: number of physical cores that this process may use; None detects it.
    """
    environment = os.environ if environment is None else environment
    logical = (os.cpu_count() or 1) if logical is None else logical
    usable = usable_cores() if usable is None else usable
    detail = f"{usable} physical {'core' if usable == 1 else 'cores'} usable of {logical} logical processors"
    findings = [Finding("cores", "ok", f"{detail} (within affinity and container quota)")]
    for variable in _THREAD_VARIABLES:
        value = environment.get(variable, "")
        if value.isdigit() and 0 < int(value) < usable:
            limited = "torch" if variable.startswith("MKL") else "torch and LiteFT"
            findings.append(
                Finding(
                    variable,
                    "off",
                    f"{variable}={value} limits {limited} to fewer threads than the {usable} usable cores",
                    (f"unset {variable}",),
                )
            )
    return findings


def memory_findings(
    *, cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo"), system: str = sys.platform
) -> list[Finding]:
    """Return total and available memory and the container's limit, in GB of 10^9 bytes.

    Args:
        cgroup: folder of the control group's files (Linux).
        meminfo: the kernel's memory statistics (Linux).
        system: ``sys.platform``.
    """
    if system.startswith("linux"):
        total, available = _linux_memory(meminfo)
        limit = _memory_limit(cgroup)
    else:
        total, available, limit = _other_memory(), None, None
    if total is None:
        return [Finding("memory", "ok", "unknown: this system does not report it")]
    parts = [f"{total / 1e9:.1f} GB"]
    if available is not None:
        parts.append(f"{available / 1e9:.1f} GB available")
    if limit is not None and limit < total:
        parts.append(f"the container may use {limit / 1e9:.1f} GB")
    return [Finding("memory", "ok", ", ".join(parts))]


def _linux_memory(meminfo: Path) -> tuple[int | None, int | None]:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None, None
    fields = {line.split(":")[0]: line.split(":")[1].split() for line in lines if ":" in line}
    total, available = (int(fields[key][0]) * 1024 if key in fields else None for key in ("MemTotal", "MemAvailable"))
    return total, available


def _memory_limit(cgroup: Path) -> int | None:
    """Return the memory limit of the control group in bytes, version 2 or 1; None without a limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return None


def _other_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Gpus:
    """The NVIDIA GPUs that this process can use, or why there are none.

    Attributes:
        names: one description per GPU.
        reason: why ``names`` is empty; "" otherwise.
        broken: a GPU or driver is present but does not work.
    """

    names: tuple[str, ...]
    reason: str = ""
    broken: bool = False


def read_gpus(*, environment: Mapping[str, str] | None = None, pci: Path = _PCI) -> Gpus:
    """Return the GPUs that this process can use.

    Args:
        environment: environment variables; None for this process's.
        pci: the folder in which the kernel lists PCI devices (Linux).
    """
    environment = os.environ if environment is None else environment
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Gpus((), f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU")
    found = _ask_driver()
    if found.names:
        return Gpus(tuple(_smi_names()) or found.names) if hidden is None else found
    if not found.broken and _has_nvidia_card(pci):
        return Gpus((), f"an NVIDIA card is in the machine, but {found.reason}", broken=True)
    return found


def gpu_findings(gpus: Gpus | None = None) -> list[Finding]:
    """Return the GPUs, or why there are none."""
    gpus = read_gpus() if gpus is None else gpus
    if gpus.names:
        return [Finding("GPU", "ok", "; ".join(gpus.names))]
    if gpus.broken:
        fix = ("install or reload NVIDIA's driver, then: nvidia-smi", "in a container: docker run --gpus all")
        return [Finding("GPU", "problem", gpus.reason, fix)]
    hidden = gpus.reason.startswith("CUDA_VISIBLE_DEVICES")
    return [Finding("GPU", "off", gpus.reason, ("unset CUDA_VISIBLE_DEVICES",) if hidden else ())]


def untested_findings(gpus: Gpus) -> list[Finding]:
    """Return, if there is a GPU, the finding that this release is untested on GPUs."""
    if not gpus.names:
        return []
    return [Finding("GPU code", "off", "this release has not been tested on a GPU yet")]


def _smi_names() -> list[str]:
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == 2]
    return [f"{name}, {memory}, driver {driver}" for name, memory, driver in rows]


def _open_driver() -> ctypes.CDLL | None:
    names = ("nvcuda.dll",) if os.name == "nt" else ("libcuda.so.1", "libcuda.so")
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _ask_driver() -> Gpus:
    """Return the GPUs that the driver's library reports."""
    if sys.platform == "darwin":
        return Gpus((), "CUDA does not exist on macOS; everything runs on the CPU")
    driver = _open_driver()
    if driver is None:
        return Gpus((), "no NVIDIA driver (libcuda) is installed; everything runs on the CPU")
    code = int(driver.cuInit(0))
    if code == _NO_DEVICE:
        return Gpus((), "the NVIDIA driver finds no GPU; everything runs on the CPU")
    if code == _DRIVER_MISMATCH:
        return Gpus((), "the NVIDIA driver's library and kernel module differ in version", broken=True)
    if code:
        return Gpus((), f"the NVIDIA driver does not start: cuInit gave error {code}", broken=True)
    count = ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    names = []
    for index in range(count.value):
        text = ctypes.create_string_buffer(256)
        driver.cuDeviceGetName(text, 256, index)
        size = ctypes.c_size_t(0)
        total = getattr(driver, "cuDeviceTotalMem_v2", None)
        if total is not None:
            total(ctypes.byref(size), index)
        memory = f", {math.floor(size.value / 2**20)} MiB" if size.value else ""
        names.append(text.value.decode(errors="replace") + memory)
    if not names:
        return Gpus((), "the NVIDIA driver finds no GPU; everything runs on the CPU")
    return Gpus(tuple(names))


def _has_nvidia_card(pci: Path) -> bool:
    """Return whether an NVIDIA display controller is on the PCI bus."""
    for device in sorted(pci.glob("*")):
        try:
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if vendor == _NVIDIA and kind.startswith("0x03"):  # a display controller
            return True
    return False
