"""Compares products by LiteFT and by CUTLASS on Hopper: what their kernels need, and their times if there is a GPU.

    pip install nvidia-cutlass==4.2.0.0
    python bench/cuda_cutlass.py                        # or --cutlass FOLDER, with CUTLASS's include/ and tools/

Writes bench/results/cuda_cutlass.json. Compiling takes some minutes. It needs nvcc, and nvdisasm as
bench/cuda_kernels.py does. On a Hopper GPU all kernels compute the same products in turns, and their results are
compared; elsewhere `times` is empty.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cuda_kernels import compiled, find_disassembler, nvcc_version, output
from cuda_sass import read_code, read_resources
from machine import ROOT, command_line, commit, tell, write_result

OURS = ("sm90_activation.cu", "sm90_layer_norm.cu", "rows.cu", "sm90_tensor_map.cpp")
SKIPPED = 77


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cutlass", type=Path, default=find_cutlass(), help="a folder with include/ and tools/")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/cuda_cutlass.json")
    arguments = parser.parse_args()
    nvcc, disassembler = shutil.which(os.environ.get("CUDACXX") or "nvcc"), find_disassembler()
    if nvcc is None or disassembler is None or arguments.cutlass is None:
        print("cuda_cutlass: needs nvcc, nvdisasm and CUTLASS (pip install nvidia-cutlass)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder)
        kernels = theirs(nvcc, disassembler, arguments.cutlass, build) + ours(nvcc, disassembler)
        times = timed(linked(nvcc, build))
    result = {
        "command": command_line("bench/cuda_cutlass.py"),
        "commit": commit(),
        "nvcc": nvcc_version(nvcc),
        "measured": bool(times),
        "kernels": kernels,
        "times": times,
    }
    write_result(arguments.out, result)
    return 0


def find_cutlass() -> Path | None:
    """Return the folder of the package nvidia-cutlass; None if it is not installed."""
    spec = importlib.util.find_spec("cutlass_library")
    return Path(spec.origin).parent / "source" if spec and spec.origin else None


def flags(*folders: Path) -> list[str]:
    """Return nvcc's options for Hopper, with folders to search for headers beside our own."""
    found = (ROOT / "cpp_ext", ROOT / "cpp_ext/include", *folders)
    return ["-std=c++17", "-O3", *(f"-I{folder}" for folder in found), "-gencode=arch=compute_90a,code=sm_90a"]


def theirs(nvcc: str, disassembler: str, cutlass: Path, build: Path) -> list[dict[str, Any]]:
    """Compile the program with CUTLASS's kernels, and return a row for each of those."""
    options = [*flags(cutlass / "include", cutlass / "tools/util/include"), "--expt-relaxed-constexpr", "-Xptxas", "-v"]
    program = build / "cutlass_products.o"
    source = str(ROOT / "bench/cutlass_products.cu")
    report = output([nvcc, *options, "--keep", "--keep-dir", str(build), "-c", source, "-o", str(program)])
    (cubin,) = build.glob("cutlass_products*.cubin")
    tell("cutlass_products.cu")
    codes = read_code(output([disassembler, "-c", str(cubin)]))
    rows = []
    for mangled, needs in read_resources(report).items():
        # too long for c++filt: the schedule, and the tile's rows and columns after it
        kind = re.search(r"(Cooperative|Pingpong)EEENS\w*?_IJNS\w*?_ILi(\d+)EEENS\w*?_ILi(\d+)EEE", mangled)
        gelu = re.search(r"ActivationILb(\d)E", mangled)
        if kind is None or gelu is None:
            raise ValueError(f"not a product of CUTLASS: {mangled[:300]}")
        name = f"cutlass {kind[1].lower()} {kind[2]}x{kind[3]}"
        rows.append(_row(name, gelu[1] == "1", needs, codes[mangled].total))
    return sorted(rows, key=lambda row: (row["kernel"], row["gelu"]))


def ours(nvcc: str, disassembler: str) -> list[dict[str, Any]]:
    """Return a row for each of our kernels of that kind, in bf16."""
    rows = []
    for kernel in compiled(nvcc, disassembler, ROOT / "cpp_ext", "90a", "sm90_activation.cu"):
        kind = kernel.parameters[-1]
        if "__half" in kernel.parameters or kind not in ("Act 0", "Act 5") or kernel.parameters[1] != "192":
            continue
        rows.append(_row("liteft 128x192", kind == "Act 0", kernel.needs, kernel.code.total))
    return rows


def _row(name: str, gelu: bool, needs: Any, instructions: int) -> dict[str, Any]:
    return {
        "kernel": name,
        "gelu": gelu,
        "registers": needs.registers,
        "spill_bytes": needs.spill_stores + needs.spill_loads,
        "instructions": instructions,
    }


def linked(nvcc: str, build: Path) -> Path:
    """Compile our kernels, and return the program that times both."""
    objects = [str(build / "cutlass_products.o")]
    for name in OURS:
        objects.append(str(build / f"{name}.o"))
        output([nvcc, *flags(), "-c", str(ROOT / "cpp_ext/cuda" / name), "-o", objects[-1]])
    program = build / "cutlass_products"
    output([nvcc, *objects, "-o", str(program)])
    return program


def timed(program: Path) -> list[dict[str, Any]]:
    """Return the times that the program prints; none if there is no GPU.

    Raises:
        RuntimeError: it fails.
    """
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    if done.returncode == SKIPPED:
        tell(done.stderr.strip())
        return []
    if done.returncode:
        raise RuntimeError(f"{program.name}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
