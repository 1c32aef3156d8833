"""Read what ptxas says with -v about the kernels of a build, and fail if one spills registers.

    python bench/cuda_spills.py LOG

It prints, for each architecture, how many kernels there are, the most registers of one, and the bytes that spill.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
_SPILL = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")


class Kernel(NamedTuple):
    """One kernel, compiled for one architecture.

    ``name`` is as the linker sees it; ``spilled`` counts the bytes of stores and loads.
    """

    architecture: str
    name: str
    registers: int
    spilled: int


def read(log: str) -> list[Kernel]:
    """Return the kernels in the output of a build with ``-Xptxas=-v``, which did not mix the output of two files.

    Raises:
        ValueError: the output of a kernel is not complete.
    """
    parts = _ENTRY.split(log)[1:]
    kernels = []
    for name, architecture, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        spill, registers = _SPILL.search(text), _REGISTERS.search(text)
        if spill is None or registers is None:
            raise ValueError(f"the log does not say what {name} needs for sm_{architecture}")
        kernels.append(Kernel(architecture, name, int(registers[1]), int(spill[1]) + int(spill[2])))
    return kernels


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    kernels = read(parser.parse_args(arguments).log.read_text(encoding="utf-8"))
    if not kernels:
        print("the log names no kernels: was it a build with -DLITEFT_CUDA_RESOURCES=ON?", file=sys.stderr)
        return 1
    for architecture in dict.fromkeys(kernel.architecture for kernel in kernels):
        own = [kernel for kernel in kernels if kernel.architecture == architecture]
        most, spilled = max(kernel.registers for kernel in own), sum(kernel.spilled for kernel in own)
        print(f"sm_{architecture}: {len(own)} kernels, at most {most} registers, {spilled} bytes spilled")
    spilling = [kernel for kernel in kernels if kernel.spilled]
    for kernel in spilling:
        print(f"sm_{kernel.architecture}: {kernel.name} spills {kernel.spilled} bytes", file=sys.stderr)
    return int(bool(spilling))


if __name__ == "__main__":
    sys.exit(main())
