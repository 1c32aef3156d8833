"""Compiles the CUDA kernels, and writes what they need, their machine code in numbers, and predicted times on an H200.

    python bench/cuda_kernels.py --out bench/results/cuda_kernels.json
    python bench/cuda_kernels.py --checkout COMMIT --out bench/results/cuda_kernels_before.json

No GPU takes part: **all times are predictions** by the model of bench/cuda_model.py, and nothing was measured. It needs
nvcc, and nvdisasm, which is searched for in PATH, beside nvcc, and in the wheel nvidia-cuda-nvdisasm
(`pip install nvidia-cuda-nvdisasm`).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cuda_model as modelled
from cuda_sass import Code, read_code, read_resources
from cuda_works import WORKS, forward_steps
from machine import ROOT, command_line, commit, tell, write_result

EVERY = ("80", "89", "90a", "100", "120")
DENSE = {"MiniLM-L6": 8192, "BERT-base": 4096}  # rows of a chunk of texts of 128 tokens
MODELS = (modelled.MINILM, modelled.BERT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", help="a commit, or a folder with cpp_ext/; default: this checkout as it is")
    parser.add_argument("--architectures", nargs="+", default=["90a"], help=f"or `all`: {' '.join(EVERY)}")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/cuda_kernels.json")
    arguments = parser.parse_args()
    architectures = EVERY if arguments.architectures == ["all"] else arguments.architectures
    nvcc, disassembler = shutil.which(os.environ.get("CUDACXX") or "nvcc"), find_disassembler()
    if nvcc is None or disassembler is None:
        print("cuda_kernels: needs nvcc and nvdisasm (pip install nvidia-cuda-nvdisasm)", file=sys.stderr)
        return 1
    with checked_out(arguments.checkout) as (folder, name):
        rows, passes = [], []
        for architecture in architectures:
            kernels = compiled(nvcc, disassembler, folder, architecture)
            rows += [row_of(architecture, kernel) for kernel in kernels]
            if architecture == "90a":
                passes = [forward(model, kernels, *size) for model in MODELS for size in sizes_of(model)]
    result = {
        "command": command_line("bench/cuda_kernels.py"),
        "commit": name,
        "nvcc": nvcc_version(nvcc),
        "measured": False,
        "forward": passes,
        "kernels": rows,
    }
    write_result(arguments.out, result)
    return 0


def find_disassembler() -> str | None:
    """Return the path of nvdisasm; None if it is not installed."""
    if found := shutil.which("nvdisasm") or shutil.which("nvdisasm", path="/usr/local/cuda/bin"):
        return found
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        for path in sorted(Path(folder).glob("c*/bin/nvdisasm")):
            return str(path)
    return None


@contextmanager
def checked_out(checkout: str | None) -> Iterator[tuple[Path, str]]:
    """Yield the folder cpp_ext of a commit or folder, and the commit's name."""
    if checkout is None:
        yield ROOT / "cpp_ext", commit()
    elif Path(checkout).is_dir():
        yield Path(checkout) / "cpp_ext", Path(checkout).name
    else:
        full = subprocess.run(["git", "rev-parse", checkout], cwd=ROOT, capture_output=True, text=True, check=True)
        files = subprocess.run(["git", "archive", full.stdout.strip(), "cpp_ext"], cwd=ROOT, capture_output=True)
        files.check_returncode()
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(files.stdout)) as archive:
                archive.extractall(folder, filter="data")
            yield Path(folder) / "cpp_ext", full.stdout.strip()


def compiled(
    nvcc: str, disassembler: str, folder: Path, architecture: str, files: str = "*.cu"
) -> list[modelled.Kernel]:
    """Compile the kernels of a folder cpp_ext, or of some of its files, for an architecture.

    Raises:
        RuntimeError: a file does not compile; the text is the compiler's.
    """
    kernels = []
    with tempfile.TemporaryDirectory() as build:
        for source in sorted((folder / "cuda").glob(files)):
            if source.name.startswith("sm90_") and architecture != "90a":
                continue
            cubin = Path(build) / f"{source.stem}.cubin"
            flags = ["-std=c++17", "-O3", f"-I{folder}", f"-I{folder / 'include'}", f"-arch=sm_{architecture}"]
            report = output([nvcc, *flags, "-Xptxas", "-v", "-cubin", str(source), "-o", str(cubin)])
            codes = read_code(output([disassembler, "-c", str(cubin)]))
            for mangled, needs in read_resources(report).items():
                kernels.append(named(output(["c++filt", mangled]), codes[mangled], needs))
            tell(f"{source.name} for sm_{architecture}")
    return sorted(kernels, key=lambda kernel: (kernel.name, kernel.parameters))


def output(command: Sequence[str]) -> str:
    """Run a command, and return what it prints on both outputs."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout + done.stderr


def named(signature: str, code: Code, needs: Any) -> modelled.Kernel:
    """Return a kernel by its demangled signature, of which the name and the template's arguments are kept."""
    short = re.sub(r"\(anonymous namespace\)::|liteft::cuda::|^void ", "", signature.strip())
    found = re.match(r"(\w+)(?:<(.*?)>)?\(", re.sub(r"\((\w+)\)(\d+)", r"\1 \2", short))
    if found is None:
        raise ValueError(f"not a kernel: {signature}")
    parameters = tuple(each.strip() for each in found[2].split(",")) if found[2] else ()
    return modelled.Kernel(found[1], parameters, code, needs)


def nvcc_version(nvcc: str) -> str:
    """Return the version that nvcc states."""
    found = re.search(r"release (\S+),", output([nvcc, "--version"]))
    return found[1] if found else "unknown"


def sizes_of(model: modelled.Model) -> list[tuple[int, int]]:
    """Return texts and tokens of a text: a full chunk of 128 tokens each, and a single text of 32."""
    return [(DENSE[model.name] // 128, 128), (1, 32)]


def row_of(architecture: str, kernel: modelled.Kernel) -> dict[str, Any]:
    """Return the row of a kernel; with predictions where it is known what it computes."""
    code, hot = kernel.code, kernel.code.hot
    row: dict[str, Any] = {
        "architecture": architecture,
        "kernel": kernel.name,
        "parameters": list(kernel.parameters),
        "registers": kernel.needs.registers,
        "spill_bytes": kernel.needs.spill_stores + kernel.needs.spill_loads,
        "stack_bytes": kernel.needs.stack,
        "static_shared_bytes": kernel.needs.static_shared,
        "instructions": code.total,
    }
    if hot is not None:
        row["hot_loop"] = {"instructions": hot.instructions, "products": hot.mmas, "mma": hot.mma}
    if architecture == "90a" and "__half" not in kernel.parameters:
        row["launches"] = launches(kernel)
    return row


def launches(kernel: modelled.Kernel) -> list[dict[str, Any]]:
    """Return what a kernel takes in each forward pass that has a place for it, without repetition.

    The last layer, which computes the first rows alone, is left out for kernels that other layers use too.
    """
    found: list[dict[str, Any]] = []
    for model, (texts, length) in [(each, size) for each in MODELS for size in sizes_of(each)]:
        ways = [way for _, ways in forward_steps(model, texts, length) for way in ways]
        calls = {dims: None for way in ways for name, dims in way if name == kernel.name}
        full = [dims for dims in calls if dims.rows == dims.tokens]
        for dims in full or calls:
            launch = WORKS[kernel.name](kernel.parameters, dims)
            if launch is not None:
                row = {"model": model.name, "rows": dims.rows, **launch_row(kernel, launch, dims)}
                found += [row] * (row not in found)
    return found


def launch_row(kernel: modelled.Kernel, launch: modelled.Launch, dims: modelled.Dims) -> dict[str, Any]:
    """Return what is predicted of a launch."""
    needs = kernel.needs
    guess = modelled.predict(kernel.code, needs, launch, modelled.in_cache(dims.model, dims.tokens))
    executed = modelled.warp_instructions(kernel.code, launch) * launch.blocks * launch.threads
    return {
        "inputs": dims.inputs if launch.flops else None,
        "outputs": dims.outputs,
        "blocks": launch.blocks,
        "threads": launch.threads,
        "shared_bytes": launch.shared,
        "blocks_at_once": modelled.blocks_per_multiprocessor(needs, launch.threads, launch.shared),
        "instructions_per_value": round(executed / launch.values, 2) if launch.values else None,
        "microseconds": round(1e6 * guess.seconds, 2),
        "bound": guess.bound,
        "share_of_limit": round(guess.share, 3),
    }


def forward(model: modelled.Model, kernels: Sequence[modelled.Kernel], texts: int, length: int) -> dict[str, Any]:
    """Return the prediction of a forward pass."""
    steps = forward_steps(model, texts, length)
    chosen = modelled.predict_steps(steps, kernels, WORKS, modelled.in_cache(model, texts * length))
    seconds = sum(each.seconds for each in chosen)
    one = modelled.Dims(model, texts, length, texts * length)
    whole = modelled.predict_call(("short_forward_kernel", one), kernels, WORKS, modelled.in_cache(model, one.tokens))
    if whole is not None and whole.seconds < seconds:
        chosen, seconds = [dataclasses.replace(whole, step="all")], whole.seconds
    by_step: dict[str, dict[str, Any]] = {}
    for each in chosen:
        key = f"{each.step}: {each.kernel}"
        row = by_step.setdefault(key, {"launches": 0, "microseconds": 0.0, "bound": each.bound})
        row["launches"] += 1
        row["microseconds"] = round(row["microseconds"] + 1e6 * each.seconds, 2)
    return {
        "model": model.name,
        "texts": texts,
        "tokens_of_a_text": length,
        "launches": len(chosen),
        "microseconds": round(1e6 * seconds, 1),
        "tokens_per_second": round(texts * length / seconds),
        "steps": by_step,
    }


if __name__ == "__main__":
    sys.exit(main())
