"""A cache of the teacher's logits: a file for each combination of teacher weights and texts.

Every seed, learning rate and resumed run reads the same file. Logits of augmented texts (augmentation.py) are not
cached: the teacher runs on each batch of them.

The logits of more than 262,144 texts are written in chunks and read from the file as they are needed, so a pool of
millions takes disk space instead of memory. An unfinished file goes on where it ends, so a kill loses one chunk. They
are float32 up to 256 MB, float16 beyond.

Source of the limits of a cache: Beyer et al. 2022, section 3, arXiv:2106.05237.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from liteft import files
from liteft.arguments import ProgressFunction
from liteft.data import Split
from liteft.errors import RunError
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.locks import one_writer
from liteft.ragged import Ragged, Rows, values_of

__all__ = ["LARGE", "array_header", "teacher_logits"]

LARGE = 1 << 18
"""More texts have their logits in a file that is mapped."""

_CHUNK = 1 << 16  # texts
_MOST_FLOAT32 = 256 * 10**6  # bytes


def teacher_logits(
    teacher: TorchClassifier,
    weights_sha256: str,
    split: Split,
    *,
    folder: Path,
    bf16: bool,
    tell: ProgressFunction | None = None,
    name: str = "teacher",
) -> Rows:
    """Return the teacher's logits of a split, shape (texts, labels), from the cache or into it.

    Of a split with words they are a Ragged, (words, labels) for each text; of questions the packed form, without a
    threshold of no answer. They are float32; those of more than 262,144
    texts are mapped from their file, and float16 if that exceeds 256 MB.

    Args:
        teacher: the classifier; it is moved to the GPU, if there is one, when logits have to be computed.
        weights_sha256: of its weights.
        split: the texts.
        folder: where logits are cached; created if missing.
        bf16: compute in bfloat16 if they are not cached yet.
        tell: called with a line of text when they must be computed.
        name: begins that line.

    Raises:
        RunError: logits that are not finite, a folder that cannot be written, or another process that computes the same
            logits of more than 262,144 texts.
    """
    if teacher.settings.answers is not None:
        return _of_questions(teacher, weights_sha256, split, folder, bf16=bf16, tell=tell, name=name)
    words = split.words
    shape = (len(split) if words is None else len(words.values), len(teacher.settings.labels))
    large = len(split) > LARGE and words is None
    dtype = np.dtype(np.float16 if large and 4 * shape[0] * shape[1] > _MOST_FLOAT32 else np.float32)
    path = folder / f"{_key(teacher, weights_sha256, split, bf16)}.npy"
    state = PartialState(cpu=not torch.cuda.is_available())
    with state.main_process_first() if large else contextlib.nullcontext():  # all processes write into the same file
        stored = _stored(path, shape, dtype, mapped=large)
        if stored is not None:
            return stored if words is None else words.like(stored)
        teacher.model.to(state.device)
        if large:
            with one_writer(path.with_name(f"{path.name}.lock"), target=path):
                if _stored(path, shape, dtype, mapped=True) is None:  # another process may have just finished it
                    _write_chunks(path, teacher, split, dtype, bf16=bf16, tell=tell, name=name)
            mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
    if tell is not None:
        tell(f"{name}: logits of {len(split):,} texts, once")
    found = predict_logits(teacher, split, bf16=bf16)
    logits = _finite(values_of(found))
    with files.writing_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, logits, allow_pickle=False)
    return found


def _of_questions(
    teacher: TorchClassifier,
    weights_sha256: str,
    split: Split,
    folder: Path,
    *,
    bf16: bool,
    tell: ProgressFunction | None,
    name: str,
) -> Ragged:
    """Return the packed form of a split's questions, from the cache or into it; see `teacher_logits`."""
    path = folder / f"{_key(teacher, weights_sha256, split, bf16)}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with np.load(path, allow_pickle=False) as stored:
            found = Ragged(stored["logits"], stored["offsets"])
        if len(found) == len(split):
            return found
    teacher.model.to(PartialState(cpu=not torch.cuda.is_available()).device)
    if tell is not None:
        tell(f"{name}: logits of {len(split):,} questions, once")
    logits: Ragged = predict_logits(teacher, split, bf16=bf16, undecided=True)
    _finite(logits.values)
    with files.writing_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, logits=logits.values, offsets=logits.offsets)
    return logits


def _stored(path: Path, shape: tuple[int, int], dtype: np.dtype[Any], *, mapped: bool) -> np.ndarray | None:
    """Return the logits in a file, or None if it is missing or broken."""
    try:
        stored: np.ndarray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        too_long = isinstance(stored, np.memmap) and path.stat().st_size != stored.offset + stored.nbytes
    except (OSError, ValueError, EOFError):
        return None
    return stored if stored.shape == shape and stored.dtype == dtype and not too_long else None


def array_header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    """Return what an npy file begins with, before the rows of its array."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return header.getvalue()


def _write_chunks(
    path: Path,
    teacher: TorchClassifier,
    split: Split,
    dtype: np.dtype[Any],
    *,
    bf16: bool,
    tell: ProgressFunction | None,
    name: str,
) -> None:
    """Compute the logits of a large split into a file, chunk by chunk, after those that an earlier call has written."""
    labels = len(teacher.settings.labels)
    header = array_header((len(split), labels), dtype)
    start, size = len(header), _CHUNK * labels * dtype.itemsize
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "ab") as file:
        done = max(0, file.tell() - start) // size
        file.truncate(start + done * size if done else 0)
        if not done:
            file.write(header)
        for first in range(done * _CHUNK, len(split), _CHUNK):
            if tell is not None:
                tell(f"{name}: logits of {len(split):,} texts in {dtype.name}, {first:,} done")
            rows = slice(first, first + _CHUNK)
            file.write(_finite(predict_logits(teacher, split.take(rows), bf16=bf16).astype(dtype)).tobytes())
            file.flush()
    part.replace(path)


def _finite(logits: np.ndarray) -> np.ndarray:
    if not np.isfinite(logits).all():
        raise RunError("the teacher's logits are not finite numbers.", fix="train the teacher again, in fp32")
    return logits


def _key(teacher: TorchClassifier, weights_sha256: str, split: Split, bf16: bool) -> str:
    settings = teacher.settings
    words = () if split.words is None else (split.words.offsets, split.words.values, split.marked)
    digest = hashlib.sha256(
        f"{weights_sha256} {settings.max_tokens} {settings.truncation_side} {bf16} {len(split)}".encode()
    )
    if settings.answers is not None:
        digest.update(repr(settings.answers.undecided).encode())
    for values in (split.texts, split.pairs or ()):
        for text in values:
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        digest.update(b"\xff" * 8)
    for numbers in words:
        digest.update(b"" if numbers is None else np.ascontiguousarray(numbers, dtype="<i8").tobytes())
    return digest.hexdigest()[:32]
