"""Asks nvidia-smi and the CUDA driver which GPU there is and what state it is in, without torch or LiteFT."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import Any

# Bits of nvidia-smi's mask of what holds the clocks down; "idle" is not throttling.
REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat, by software",
    0x40: "heat, by hardware",
    0x80: "power brake",
    0x100: "display clocks",
}
_NUMBERS = ("clocks.sm", "clocks.mem", "clocks.max.sm", "power.draw", "power.limit", "temperature.gpu")
_MASKS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # of newer and of older drivers
_L2_BYTES = 38  # CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE


def find_gpu() -> tuple[str, str]:
    """Return the first GPU with its driver and memory, and ""; or "" and the reason why there is none."""
    fields = _ask("name", "driver_version", "memory.total")
    if fields is not None:
        return ", ".join(fields), ""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "", "there is no NVIDIA driver"
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "", "the NVIDIA driver finds no GPU"
    return "a GPU that nvidia-smi does not name", ""


def state() -> dict[str, Any]:
    """Return clocks (MHz), power (W), temperature (Celsius) and what holds the clocks down; {} without nvidia-smi."""
    fields = _ask(*_NUMBERS)
    if fields is None:
        return {}
    found: dict[str, Any] = {name: _number(text) for name, text in zip(_NUMBERS, fields, strict=True)}
    for name in _MASKS:
        mask = _ask(name)
        if mask is not None and mask[0].startswith("0x"):
            found["held_down_by"] = reasons_of(int(mask[0], 16))
            break
    return found


def reasons_of(mask: int) -> list[str]:
    """Return the reasons in a mask from nvidia-smi."""
    known = [text for bit, text in REASONS.items() if mask & bit]
    unknown = mask & ~sum(REASONS)
    return known + ([f"unknown {unknown:#x}"] if unknown else [])


def l2_bytes() -> int | None:
    """Return the size of the L2 cache in bytes; None without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        found = ctypes.c_int()
        if driver.cuInit(0) or driver.cuDeviceGetAttribute(ctypes.byref(found), _L2_BYTES, 0):
            return None
    except (OSError, AttributeError):
        return None
    return found.value


def _ask(*fields: str) -> list[str] | None:
    """Return fields of the first GPU from nvidia-smi; None if it is missing, fails, or does not know a field."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    parts = [part.strip() for part in lines[0].split(",")] if lines else []
    return parts if done.returncode == 0 and len(parts) == len(fields) else None


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # "[N/A]"
