"""The machine: its processor, the features that determine the speed of the kernels, and the installed packages.

It imports the standard library only, since benchmarks load this file without the package.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["NOT_INSTALLED", "Processor", "package_versions", "read_processor"]

NOT_INSTALLED = "not installed"

_CPUINFO = Path("/proc/cpuinfo")

# Common name of a feature -> its names in the systems' lists of processor flags.
_X86: dict[str, tuple[str, ...]] = {
    "AVX2": ("avx2",),
    "AVX512F": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx512vnni", "avx_vnni"),
    "BF16": ("avx512_bf16", "avx512bf16"),
    "AMX": ("amx_tile",),
}
_ARM: dict[str, tuple[str, ...]] = {
    "dot product": ("asimddp", "feat_dotprod"),
    "I8MM": ("i8mm", "feat_i8mm"),
    "BF16": ("bf16", "feat_bf16"),
    "SVE": ("sve", "feat_sve"),
}


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor.

    Attributes:
        name: its model name.
        architecture: "x86", "arm", or another name as the system reports it.
        features: feature -> whether the processor has it; None if the system does not report them.
        flags: all flags as the system names them, in lower case; None if it does not report them.
    """

    name: str
    architecture: str
    features: dict[str, bool] | None
    flags: frozenset[str] | None = None


def read_processor(*, system: str | None = None, machine: str | None = None, cpuinfo: Path = _CPUINFO) -> Processor:
    """Return the processor as the system describes it.

    Args:
        system: "Linux", "Darwin", ...; None for this system.
        machine: "x86_64", "aarch64", "arm64", ...; None for this machine.
        cpuinfo: the kernel's description of the processor (Linux).
    """
    system = platform.system() if system is None else system
    machine = (platform.machine() if machine is None else machine).lower()
    family = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}.get(machine, machine)
    if system == "Linux":
        name, flags = _linux(cpuinfo)
    elif system == "Darwin":
        name, flags = _darwin(family)
    else:
        name, flags = platform.processor(), None
    known: dict[str, tuple[str, ...]] | None = {"x86": _X86, "arm": _ARM}.get(family)
    features = None
    if flags is not None and known is not None:
        features = {feature: any(alias in flags for alias in aliases) for feature, aliases in known.items()}
    return Processor(name or machine, family, features, None if flags is None else frozenset(flags))


def package_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the installed version of each package; "not installed" where there is none."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = NOT_INSTALLED
    return found


def _linux(cpuinfo: Path) -> tuple[str, set[str] | None]:
    """Return the processor's name and its flags in lower case; None if they are unknown."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "", None
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = fields.get("flags", fields.get("features"))  # "flags" on x86, "Features" on ARM
    return fields.get("model name", ""), None if flags is None else set(flags.lower().split())


def _darwin(family: str) -> tuple[str, set[str] | None]:
    """Return the processor's name and its flags in lower case; None if they are unknown."""
    name = _sysctl("machdep.cpu.brand_string") or ""
    if family == "arm":
        listed = _sysctl("hw.optional.arm") if name else None
        pairs = (line.split(":") for line in (listed or "").splitlines() if ":" in line)
        flags = {key.rsplit(".", 1)[-1].lower() for key, value in pairs if value.strip() == "1"}
        return name, flags if listed is not None else None
    leaves = [_sysctl(f"machdep.cpu.{leaf}") for leaf in ("features", "leaf7_features")]
    if all(leaf is None for leaf in leaves):
        return name, None
    return name, {flag for leaf in leaves for flag in (leaf or "").lower().split()}


def _sysctl(key: str) -> str | None:
    """Return the value of a key, or "name: value" lines for a whole branch; None if it does not exist."""
    whole_branch = key == "hw.optional.arm"
    command = ["sysctl", key] if whole_branch else ["sysctl", "-n", key]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
