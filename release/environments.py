"""Empty environments in which a release is tried: of this machine, or of an emulated aarch64."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DEBIAN = {"aarch64": "arm64"}
# What pip calls the oldest and the newest system that a wheel for an emulated machine may be made for.
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")


@dataclass(frozen=True)
class Environment:
    """A Python with packages of its own.

    Attributes:
        python: how it is started.
        liteft: how the command is started there.
        variables: what its processes have in their environment, beside what this one has.
    """

    python: tuple[str, ...]
    liteft: tuple[str, ...]
    variables: dict[str, str]

    def run(self, program: tuple[str, ...], *arguments: str) -> str:
        """Run ``python`` or ``liteft`` with arguments, and return what was printed; a failure ends this process."""
        unset = {"PYTHONPATH", "LITEFT_LIBRARY", "VIRTUAL_ENV"}
        inherited = {name: value for name, value in os.environ.items() if name not in unset}
        done = subprocess.run(
            [*program, *arguments],
            env=inherited | self.variables,
            cwd="/",  # not the checkout, which would be imported
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)} failed with status {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout


def of_this_machine(folder: Path, wanted: str, constraints: Path) -> Environment:
    """Make a virtual environment in a folder, and install what is wanted: a file, with extras."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    programs = folder / "bin"
    found = Environment((str(programs / "python"),), (str(programs / "liteft"),), {"LITEFT_NATIVE": "required"})
    found.run(found.python, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), wanted)
    return found


def emulated(folder: Path, machine: str, wheel: Path, constraints: Path) -> Environment:
    """Unpack Debian's Python of another machine, and install a wheel and the packages that it needs beside it."""
    missing = [name for name in (f"qemu-{machine}", "apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise SystemExit(
            f"{wheel.name} is tried on {machine}, or on a Debian with qemu-user; missing: {', '.join(missing)}"
        )
    root, site = folder / "root", folder / "site"
    _unpack_python(folder, root, DEBIAN[machine])
    system = [item for name in _PLATFORMS for item in ("--platform", f"{name}_{machine}")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), "--only-binary=:all:", *system]
    subprocess.run([*pip, "--python-version", "3.11", "--constraint", str(constraints), str(wheel)], check=True)
    python = (f"qemu-{machine}", "-L", str(root), str(root / "usr/bin/python3.11"))
    variables = {"PYTHONPATH": str(site), "PYTHONHOME": str(root / "usr"), "OMP_NUM_THREADS": "1"}
    return Environment(python, (*python, "-c", "import sys; from liteft.cli import main; sys.exit(main())"), variables)


def _unpack_python(folder: Path, root: Path, architecture: str) -> None:
    """Download Debian's Python with apt, whose own state is left alone, and unpack it."""
    for name in ("state/lists/partial", "cache/archives/partial", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # nobody else may read the folder
    }
    apt = ["apt-get", "-qq", *(item for pair in options.items() for item in ("-o", f"{pair[0]}={pair[1]}"))]
    subprocess.run([*apt, "update"], check=True)
    packages = ["python3-minimal", "libpython3.11-stdlib", "libstdc++6"]
    subprocess.run([*apt, "install", "--yes", "--download-only", *packages], check=True)
    for package in (folder / "cache/archives").glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
