"""Commands that build libliteft, libliteft_cuda and the programs that run on a GPU, with CMake or without it.

Without CMake the commands are derived from CMakeLists.txt, so that files and flags are listed only there. They build
for x86-64 and for a single GPU architecture.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from machine import ROOT

SOURCES = ROOT / "cpp_ext"
KERNEL_TESTS = (
    "test_gpu_rows",
    "test_gpu_attention",
    "test_gpu_fused",
    "test_gpu_int8",
    "test_gpu_fp8",
)  # of tests/test_cuda_*.cpp
HOPPER_TEST = "test_gpu_sm90"
GPU_PROGRAMS = ("test_cuda", "time_cuda", *KERNEL_TESTS, HOPPER_TEST)
TARGETS = ("liteft", "liteft_cuda", *GPU_PROGRAMS)  # not the emulator and its tests, which need no GPU

Command = list[str]


def with_cmake(build: Path, architectures: str, jobs: int) -> list[Command]:
    """Return the commands of a build with CMake and its default generator."""
    defined = ["-DLITEFT_CUDA=ON", f"-DLITEFT_CUDA_ARCHITECTURES={architectures}", "-DCMAKE_BUILD_TYPE=Release"]
    return [
        ["cmake", "-S", str(SOURCES), "-B", str(build), *defined],
        ["cmake", "--build", str(build), "--parallel", str(jobs), "--target", *TARGETS],
    ]


def of_rehearsal(build: Path, jobs: int) -> list[Command]:
    """Return the commands that build the same for the emulated GPU, into the folder "rehearsal" in ``build``."""
    return [
        ["cmake", "-S", str(SOURCES), "-B", str(build)],
        ["cmake", "--build", str(build), "--parallel", str(jobs), "--target", "rehearsal"],
    ]


def without_cmake(build: Path, architectures: str) -> list[list[Command]]:
    """Return the commands of a build with only g++ and nvcc, in stages; the commands of a stage may run in parallel.

    Raises:
        ValueError: CMakeLists.txt does not have the form that is parsed here.
    """
    top = (SOURCES / "CMakeLists.txt").read_text(encoding="utf-8")
    cuda = (SOURCES / "cuda" / "CMakeLists.txt").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if version is None:
        raise ValueError("pyproject.toml states no version")
    common = ["-O3", f"-I{SOURCES}", f"-I{SOURCES / 'include'}"]
    host = ["g++", "-std=c++20", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", *common]
    number = re.sub(r"\D.*$", "", architectures.split(";")[0]) + ("a" if "a" in architectures.split("-")[0] else "")
    nvcc = ["nvcc", "-std=c++17", *common, f"-gencode=arch=compute_{number},code=sm_{number}"]
    nvcc += ["-cudart=static", "-Xcompiler=-fPIC,-fvisibility=hidden"]
    toolkit = Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")
    headers = [f"-I{toolkit / 'include'}"]

    compiled: list[Command] = []
    own = ["-ffp-contract=off", f'-DLITEFT_VERSION="{version[1]}"']
    flags = _instruction_flags(top)
    library = []
    for source in [*_sources(top, "liteft"), *(f"cpu/kernels_{name}.cpp" for name in flags)]:
        name = re.sub(r"cpu/kernels_(\w+)\.cpp", r"\1", source)
        special = flags.get(name, ["-DLITEFT_X86"] if source == "cpu/registry.cpp" else [])
        compiled.append([*host, *own, *special, "-c", str(SOURCES / source), "-o", _object(build, source)])
        library.append(_object(build, source))
    kernels = []
    for name in _sources(cuda, "liteft_cuda"):
        source = os.path.normpath(f"cuda/{name}")
        compiler = [*nvcc] if source.endswith(".cu") else [*host, *headers]
        if name == "engine.cpp":
            compiler += [f'-DLITEFT_CUDA_KERNELS="{kernels_name()}"', f'-DLITEFT_CUDA_BUILT_FOR="{number}-real"']
        if name == "sm90_activation.cu" and number == "90a":
            compiler += ["-DLITEFT_SM90_BUILT=true"]
        compiled.append([*compiler, "-c", str(SOURCES / source), "-o", _object(build, source)])
        kernels.append(_object(build, source))
    for program in GPU_PROGRAMS:
        source = _source_of(program)
        compiled.append([*host, *headers, "-c", str(SOURCES / source), "-o", _object(build, source)])

    exports = f"-Wl,--version-script={SOURCES / 'exports.map'}"
    system = ["-ldl", "-lpthread", "-lrt"]
    runtime = [f"-L{toolkit / 'lib64'}", "-lcudart_static", *system]
    shared = [
        ["g++", "-shared", exports, *library, *system, "-o", str(build / "libliteft.so")],
        ["g++", "-shared", exports, *kernels, *runtime, "-o", str(build / "libliteft_cuda.so")],
    ]
    linked = []
    for program in GPU_PROGRAMS:
        extra = [] if program == "test_cuda" else kernels
        near = [f"-L{build}", "-lliteft", "-Wl,-rpath,$ORIGIN"]
        main = _object(build, _source_of(program))
        linked.append(["g++", main, *extra, *near, *runtime, "-o", str(build / program)])
    return [compiled, shared, linked]


def kernels_name() -> str:
    """Return the hash that identifies the kernels of these sources, computed as in cuda/CMakeLists.txt."""
    files = sorted(path for path in (SOURCES / "cuda").iterdir() if path.suffix in (".cu", ".cuh"))
    hashes = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256(hashes.encode()).hexdigest()[:12]


def _source_of(program: str) -> str:
    return f"tests/{program.replace('test_gpu_', 'test_cuda_')}.cpp"


def _object(build: Path, source: str) -> str:
    return str(build / (source.replace("/", "_") + ".o"))


def _sources(text: str, target: str) -> list[str]:
    found = re.search(rf"add_library\({target} SHARED\s+([^)]*)\)", text)
    if found is None:
        raise ValueError(f"CMakeLists.txt has no library {target}")
    return found[1].split()


def _instruction_flags(text: str) -> dict[str, list[str]]:
    found = re.search(r'MATCHES "\^\(x86_64.*?\nelseif', text, re.DOTALL)
    if found is None:
        raise ValueError("CMakeLists.txt has no instruction sets of x86-64")
    return {name: flags.split() for name, flags in re.findall(r"add_instructions\((\w+) ([^)]*)\)", found[0])}
