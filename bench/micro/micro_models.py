"""The models of bench/micro, made once: the classifier of bench/peers.py, exported in fp32 and int8.

They are in build/benchmarks, in a folder whose name changes with the code that writes artifacts. "tiny" has one narrow
layer of random weights, and is for trying whether the benchmarks run at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from machine import ROOT
from micro_texts import texts_of
from peer_models import base_folder, export_liteft, write_checkpoint
from peer_texts import open_tokenizer

from liteft.runtime.native_library import has_library

ENCODERS: dict[str, dict[str, float]] = {
    "minilm": {},
    "tiny": {
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.3,
    },
}
PRECISIONS = ("fp32", "int8")
VERIFIED = 32  # texts that each export is compared on
_WRITERS = ("artifact", "encoder", "exporting", "schemes")


def models_of(encoder: str, root: Path = ROOT / "build/benchmarks") -> Path:
    """Return the folder with ``checkpoint``, ``fp32`` and ``int8``, made where it is missing."""
    folder = root / f"{encoder}-{_code()}"
    if folder.exists():
        return folder
    part = folder.with_name(f"{folder.name}.{os.getpid()}")
    part.mkdir(parents=True)
    texts = texts_of("short", VERIFIED)
    write_checkpoint(part / "checkpoint", feeds_of(texts), **ENCODERS[encoder])
    for precision in PRECISIONS:
        export_liteft(part / "checkpoint", part / precision, precision, texts)  # type: ignore[arg-type]
    try:
        part.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(part)
    return folder


def available(precision: str, backend: str) -> tuple[str, str]:
    """Return both; skip the benchmark where the backend is not installed."""
    if backend == "native" and not has_library():
        pytest.skip("this LiteFT was built without the native library")
    if backend == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="the extra 'cpu' installs onnxruntime")
    return precision, backend


def feeds_of(texts: list[str]) -> list[dict[str, object]]:
    """Return the inputs of the encoder for each text."""
    from peer_contestants import rectangle

    tokenizer = open_tokenizer(base_folder() / "tokenizer.json")
    return [rectangle([each.ids]) for each in tokenizer.encode_batch(texts)]


def _code() -> str:
    """Return a name for the code that writes artifacts."""
    found = hashlib.sha256()
    for name in _WRITERS:
        for file in sorted((ROOT / "liteft" / name).glob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()[:12]
