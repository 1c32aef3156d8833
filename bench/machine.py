"""What every benchmark records with its numbers: machine, versions and commit.

Only single files of LiteFT that need nothing but Python are imported here: check_optimum.py uses this module where
LiteFT is not installed, and the scripts for a GPU where pydantic is not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def machine() -> dict[str, Any]:
    """Return the processor, usable cores, memory in GB, system, and how busy the machine is.

    ``load`` is the number of runnable processes, averaged over the last minute. If it is above about 0.5 before a
    benchmark starts, the timings mean little.
    """
    pages = {name: os.sysconf(name) for name in ("SC_PAGE_SIZE", "SC_PHYS_PAGES")} if hasattr(os, "sysconf") else {}
    return {
        "processor": own_module("machine.py").read_processor().name,
        "architecture": platform.machine(),
        "cores": own_module("runtime/cores.py").usable_cores(),
        "memory_gb": round(pages["SC_PAGE_SIZE"] * pages["SC_PHYS_PAGES"] / 1e9, 1) if pages else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def command_line(script: str, arguments: Sequence[str] | None = None) -> str:
    """Return the command that a benchmark was run with, as results store it.

    Of an absolute path the last two names are kept: where they lie on this machine means nothing on another.

    Args:
        script: path from the root, such as "bench/peers.py".
        arguments: the words behind it; None for those of this process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["python", script, *(_short(word) for word in words)])


def _short(word: str) -> str:
    flag, equals, value = word.rpartition("=")
    return f"{flag}{equals}{'/'.join(Path(value).parts[-2:]) if Path(value).is_absolute() else value}"


def own_module(file: str) -> ModuleType:
    """Import a module of liteft by its file, without importing its package, which would need pydantic and more."""
    name = f"liteft_file_{Path(file).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "liteft" / file)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)  # dataclasses look there
        spec.loader.exec_module(module)
    return sys.modules[name]


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the installed version of each package, or "not installed"."""
    found: dict[str, str] = own_module("machine.py").package_versions(packages)
    return found


def commit() -> str:
    """Return the checkout's commit, followed by " with changes" if code differs from it, or "unknown"."""
    found = _git("rev-parse", "HEAD")
    if not found:
        return "unknown"
    changed = _git("status", "--porcelain", "--", "liteft", "cpp_ext", "bench/*.py")
    return f"{found} with changes" if changed else found


def tell(line: str) -> None:
    """Print a line of progress on stderr; stdout is for the result."""
    print(line, file=sys.stderr, flush=True)


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result as indented JSON, and print it on a single line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def _git(*arguments: str) -> str:
    try:
        found = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    except FileNotFoundError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
