"""Finding and opening libliteft: where it may be, whether it fits, and if not, why.

The library has a plain C interface, used through ctypes, and is optional: without it, ONNX Runtime computes. It is
looked for in three places, and the first that has it decides:

1. the file named by LITEFT_LIBRARY in the environment. It was requested explicitly, so a wrong one is always an error;
2. ``lib/`` inside this package;
3. ``liteft/lib/`` where the distribution is installed: in an editable install, it is not beside the Python code.

A library with another ABI is refused before any other of its functions is called. ctypes releases the GIL while a
function runs.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from liteft.errors import DeviceError
from liteft.installation import install_hint

__all__ = [
    "ABI",
    "VARIABLE",
    "Batch",
    "NativeLibrary",
    "Padded",
    "Shape",
    "Weight",
    "asked_for",
    "custom_ops_library",
    "find_library",
    "has_library",
    "open_file",
    "open_library",
]

ABI = 2
VARIABLE = "LITEFT_LIBRARY"
_NAME = "libliteft.dylib" if sys.platform == "darwin" else "libliteft.so"
_PACKAGE = Path(__file__).resolve().parents[1]


class Shape(ctypes.Structure):
    """liteft_shape."""

    _fields_ = (
        ("layers", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("inner", ctypes.c_int32),
        ("embedding", ctypes.c_int32),
        ("vocabulary", ctypes.c_int32),
        ("positions", ctypes.c_int32),
        ("types", ctypes.c_int32),
        ("labels", ctypes.c_int32),
        ("pooling", ctypes.c_int32),
        ("head", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("position_padding_id", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
    )


class Weight(ctypes.Structure):
    """liteft_weight."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("values", ctypes.c_void_p),
        ("type", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
    )


class Batch(ctypes.Structure):
    """liteft_batch."""

    _fields_ = (
        ("texts", ctypes.c_int32),
        ("ids", ctypes.c_void_p),
        ("types", ctypes.c_void_p),
        ("positions", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("key_mask", ctypes.c_void_p),
    )


class Padded(ctypes.Structure):
    """liteft_padded."""

    _fields_ = (
        ("texts", ctypes.c_int32),
        ("tokens", ctypes.c_int32),
        ("ids", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
        ("types", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class NativeLibrary:
    """The opened library.

    Attributes:
        path: the file.
        version: the library's version.
        instructions: the instruction set that it uses on this machine: "avx512", "avx2", "neon", ... or "portable".
        functions: its functions, with declared types.
    """

    path: Path
    version: str
    instructions: str
    functions: ctypes.CDLL

    @property
    def fast(self) -> bool:
        """True if this processor has vector instructions that the library was written for."""
        return self.instructions != "portable"

    def last_error(self) -> str:
        """Return the error message of this thread's last call."""
        text: bytes = self.functions.liteft_last_error() or b""
        return text.decode("utf-8", "replace") or "unknown error"

    def gpu(self, cublas: str) -> tuple[str, str]:
        """Start CUDA; return the first GPU's description and "", or "" and why it is not available.

        Args:
            cublas: folders that may contain libcublasLt, joined by colons.
        """
        text = ctypes.create_string_buffer(512)
        if self.functions.liteft_cuda_device(0, cublas.encode(), text, len(text)):
            return "", self.last_error()
        return text.value.decode("utf-8", "replace"), ""

    def gpu_has_bf16(self, cublas: str) -> bool:
        """Return whether the first GPU multiplies bfloat16; True where there is none. ``cublas`` is as for ``gpu``."""
        capability = re.search(r"compute capability (\d+)\.", self.gpu(cublas)[0])
        return capability is None or int(capability[1]) >= 8


_opened: dict[Path, NativeLibrary] = {}


def asked_for() -> bool:
    """Return whether LITEFT_LIBRARY names the library."""
    return bool(os.environ.get(VARIABLE))


def find_library() -> Path:
    """Return the library's file.

    Raises:
        DeviceError: there is none, or LITEFT_LIBRARY does not name one.
    """
    asked = os.environ.get(VARIABLE)
    if asked:
        path = Path(asked).absolute()
        if not path.is_file():
            raise DeviceError(
                f"{VARIABLE}={asked} is not a file.",
                accepted={VARIABLE: f"the path of {_NAME}, or unset"},
                fix=f"unset {VARIABLE}",
            )
        return path
    seen: dict[Path, None] = {}  # a dict as an ordered set
    for folder in _folders():
        if (folder / _NAME).is_file():
            return folder / _NAME
        seen[folder] = None
    raise DeviceError(
        f"there is no {_NAME}: liteft was installed without its native library.",
        accepted={"looked in": ", ".join(map(str, seen))},
        fix=_ways_to_build(),
    )


def open_library() -> NativeLibrary:
    """Find, open and check the library.

    Raises:
        DeviceError: there is no library, it cannot be opened, or it has another ABI.
    """
    path = find_library()
    if path not in _opened:
        _opened[path] = open_file(path)
    return _opened[path]


def has_library() -> bool:
    """Return whether there is a usable library.

    Raises:
        DeviceError: LITEFT_LIBRARY does not name one.
    """
    try:
        open_library()
    except DeviceError:
        if asked_for():
            raise
        return False
    return True


def custom_ops_library() -> str:
    """Return the path of the library for ``onnxruntime.SessionOptions.register_custom_ops_library``.

    With it, your own session runs an artifact's model.onnx in LiteFT's kernels; without it, the same file runs
    in ONNX Runtime's.

    Raises:
        DeviceError: there is no library, or it was built without the operator.
    """
    library = open_library()
    if not hasattr(library.functions, "RegisterCustomOps"):
        raise DeviceError(f"{library.path} was built without the operator for ONNX Runtime.", fix=_ways_to_build()[0])
    return str(library.path)


def _folders() -> Iterator[Path]:
    yield _PACKAGE / "lib"
    try:
        yield Path(str(metadata.distribution("liteft").locate_file("liteft"))).resolve() / "lib"
    except metadata.PackageNotFoundError:
        return


def open_file(path: Path) -> NativeLibrary:
    """Open a file as the native library, which runs what is in it.

    Raises:
        DeviceError: it is not the library, or that of another release.
    """
    try:
        functions = ctypes.CDLL(str(path))
    except OSError as error:
        raise DeviceError(f"{path} cannot be opened: {error}.", fix=_fix(path)) from error
    if not hasattr(functions, "liteft_abi"):
        raise DeviceError(f"{path} is a library, but not libliteft: it has no liteft_abi.", fix=_fix(path))
    found = int(functions.liteft_abi())
    if found != ABI:
        raise DeviceError(
            f"{path} has ABI {found}, and this liteft needs ABI {ABI}.",
            accepted={"a library": "from the same release as the Python code"},
            fix=_fix(path),
        )
    try:
        _declare(functions)
    except AttributeError as error:
        raise DeviceError(f"{path} is incomplete: {error}.", fix=_fix(path)) from error
    version, instructions = functions.liteft_version(), functions.liteft_instructions()
    return NativeLibrary(path, version.decode(), instructions.decode(), functions)


def _declare(functions: ctypes.CDLL) -> None:
    """Declare the types of the functions; those that take numbers and return an int need none, by ctypes' defaults."""
    for name in ("liteft_version", "liteft_last_error", "liteft_instructions"):
        getattr(functions, name).restype = ctypes.c_char_p
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    functions.liteft_create.argtypes = [pointer, pointer, number, number, number, ctypes.c_char_p, pointer]
    functions.liteft_create_cuda.argtypes = [
        pointer,
        pointer,
        number,
        number,
        number,
        number,
        ctypes.c_char_p,
        ctypes.c_char_p,
        pointer,
    ]
    functions.liteft_cuda_device.argtypes = [number, ctypes.c_char_p, ctypes.c_char_p, number]
    functions.liteft_run.argtypes = [pointer, pointer, pointer]
    functions.liteft_run_padded.argtypes = [pointer, pointer, pointer]
    functions.liteft_destroy.argtypes = [pointer]
    functions.liteft_destroy.restype = None
    functions.liteft_counters.argtypes = [pointer, pointer, pointer]
    functions.liteft_counters.restype = None


def _fix(path: Path) -> tuple[str, ...]:
    asked = os.environ.get(VARIABLE)
    return (f"unset {VARIABLE}",) if asked and Path(asked).absolute() == path else _ways_to_build()


def _ways_to_build() -> tuple[str, str]:
    again = install_hint(flags="--force-reinstall --no-deps")
    return (
        f"install a C++20 compiler, then: LITEFT_NATIVE=required {again}",
        f"{VARIABLE}=FILE, for a {_NAME} built elsewhere",
    )
