"""A cache of the teacher's logits: a file for each combination of teacher weights and texts.

Every seed, learning rate and resumed run reads the same file. Logits of augmented texts (augmentation.py) are not
cached: the teacher runs on each batch of them.

The logits of more than 262,144 texts are written in chunks and read from the file as they are needed, so a pool of
millions takes disk space instead of memory. An unfinished file goes on where it ends, so a kill loses one chunk. They
are float32 up to 256 MB, float16 beyond.

Processes that train together compute a share each, into a file of its own, and the first joins them.

Source of the limits of a cache: Beyer et al. 2022, section 3, arXiv:2106.05237.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from accelerate.utils import gather_object

from liteft import files
from liteft.arguments import ProgressFunction
from liteft.data import Split
from liteft.errors import RunError
from liteft.finetuning.context import training_processes
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.locks import one_writer
from liteft.ragged import Ragged, Rows, concatenated, values_of

__all__ = ["LARGE", "array_header", "teacher_logits"]

LARGE = 1 << 18
"""More texts have their logits in a file that is mapped."""

_CHUNK = 1 << 16  # texts
_FEW = 64  # texts for each process
_LOOK = 0.5  # seconds between two looks whether another training has finished
_MOST_FLOAT32 = 256 * 10**6  # bytes
_Found = TypeVar("_Found")


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
        RunError: logits that are not finite, or a folder that cannot be written.
    """
    if teacher.settings.answers is not None:
        return _of_questions(teacher, weights_sha256, split, folder, bf16=bf16, tell=tell, name=name)
    words = split.words
    shape = (len(split) if words is None else len(words.values), len(teacher.settings.labels))
    large = len(split) > LARGE and words is None
    dtype = np.dtype(np.float16 if large and 4 * shape[0] * shape[1] > _MOST_FLOAT32 else np.float32)
    path = folder / f"{_key(teacher, weights_sha256, split, bf16)}.npy"
    state = training_processes()
    stored = _in_all(_stored(path, shape, dtype, mapped=large))
    if stored is not None:
        return stored if words is None else words.like(stored)
    teacher.model.to(state.device)
    with _turn(path, tell):
        stored = _in_all(_stored(path, shape, dtype, mapped=large))  # another training may have just finished it
        if stored is not None:
            return stored if words is None else words.like(stored)
        if large:
            _write_chunks(path, teacher, split, dtype, bf16=bf16, tell=tell, name=name)
            mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
        if tell is not None:
            tell(f"{name}: logits of {len(split):,} texts, once")
        found = _shared_logits(teacher, split, path, bf16=bf16)
        if state.is_main_process:
            with files.writing_file(path) as temporary, open(temporary, "wb") as file:
                np.save(file, values_of(found), allow_pickle=False)
        state.wait_for_everyone()
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
    state, found = training_processes(), _in_all(_read_ragged(path, len(split)))
    if found is not None:
        return found
    teacher.model.to(state.device)
    with _turn(path, tell):
        found = _in_all(_read_ragged(path, len(split)))
        if found is not None:
            return found
        if tell is not None:
            tell(f"{name}: logits of {len(split):,} questions, once")
        logits: Ragged = _shared_logits(teacher, split, path, bf16=bf16, undecided=True)
        if state.is_main_process:
            _write_ragged(path, logits)
        state.wait_for_everyone()
        return logits


def _shared_logits(teacher: TorchClassifier, split: Split, path: Path, *, bf16: bool, undecided: bool = False) -> Rows:
    """Return the logits of a split, of which each process computes a share; of few texts each computes all.

    Raises:
        RunError: they are not finite.
    """
    state = training_processes()
    count = state.num_processes
    if count == 1 or len(split) < _FEW * count:
        found = predict_logits(teacher, split, bf16=bf16, undecided=undecided)
        _finite(values_of(found))
        return found
    own = _share(len(split), state.process_index, count)
    found = predict_logits(teacher, split.take(own), bf16=bf16, undecided=undecided)
    _finite(values_of(found))
    shares = [path.with_name(f"{path.stem}.share-{rank}-of-{count}.npz") for rank in range(count)]
    ragged = isinstance(found, Ragged)
    lengths = found.offsets if isinstance(found, Ragged) else np.arange(len(found) + 1)
    _write_ragged(shares[state.process_index], Ragged(values_of(found), lengths))
    state.wait_for_everyone()
    read = [_read_ragged(each, None) for each in shares]
    state.wait_for_everyone()
    shares[state.process_index].unlink()
    if any(each is None for each in read):
        raise RunError(f"the processes' shares beside {path} cannot be read.", fix="a folder that all of them can read")
    parts = [each for each in read if each is not None]
    return concatenated(parts) if ragged else np.concatenate([each.values for each in parts])


def _share(count: int, rank: int, ranks: int) -> slice:
    """Return which of ``count`` things are a rank's."""
    return slice(count * rank // ranks, count * (rank + 1) // ranks)


def _in_all(found: _Found | None) -> _Found | None:
    """Return what was found, if every process has found it."""
    if training_processes().num_processes == 1:
        return found
    return found if all(gather_object([found is not None])) else None


@contextlib.contextmanager
def _turn(path: Path, tell: ProgressFunction | None) -> Iterator[None]:
    """Be the only training that computes these logits; wait for another that does, such as that of another seed."""
    told = False
    with contextlib.ExitStack() as held:
        while training_processes().is_main_process:
            try:
                held.enter_context(one_writer(path.with_name(f"{path.name}.lock"), target=path))
                break
            except RunError as busy:
                if tell is not None and not told:
                    told = True
                    tell(f"waiting for the logits that another training computes: {busy.accepted or path}")
                time.sleep(_LOOK)
        yield


def _read_ragged(path: Path, rows: int | None) -> Ragged | None:
    """Return logits and their rows, or None if the file is missing, broken, or of another number of rows."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = Ragged(stored["logits"], stored["offsets"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if rows in (None, len(found)) else None


def _write_ragged(path: Path, logits: Ragged) -> None:
    with files.writing_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, logits=logits.values, offsets=logits.offsets)


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
    """Compute the logits of a large split into a file, chunk by chunk, after those that an earlier call has written.

    Each process has a file for its share of the chunks; the first begins like the whole and is what the others are
    appended to.
    """
    state, labels = training_processes(), len(teacher.settings.labels)
    ranks, chunks = state.num_processes, -(-len(split) // _CHUNK)
    own = _share(chunks, state.process_index, ranks)
    first, last = own.start * _CHUNK, min(own.stop * _CHUNK, len(split))
    header = b"" if state.process_index else array_header((len(split), labels), dtype)
    start, size = len(header), _CHUNK * labels * dtype.itemsize
    parts = [path.with_name(f"{path.name}.part")]
    parts += [path.with_name(f"{path.name}.part-{rank}-of-{ranks}") for rank in range(1, ranks)]
    part = parts[state.process_index]
    part.parent.mkdir(parents=True, exist_ok=True)
    with open(part, "ab") as file:
        done = min(max(0, file.tell() - start) // size, own.stop - own.start)
        file.truncate(start + done * size if done else 0)
        if not done:
            file.write(header)
        for begin in range(first + done * _CHUNK, last, _CHUNK):
            if tell is not None:
                tell(f"{name}: logits of {last - first:,} texts in {dtype.name}, {begin - first:,} done")
            rows = slice(begin, min(begin + _CHUNK, last))
            file.write(_finite(predict_logits(teacher, split.take(rows), bf16=bf16).astype(dtype)).tobytes())
            file.flush()
    state.wait_for_everyone()
    if state.is_main_process:
        with open(part, "ab") as whole:
            for other in parts[1:]:
                with open(other, "rb") as read:
                    shutil.copyfileobj(read, whole)
        part.replace(path)
        for other in parts[1:]:
            other.unlink()
    state.wait_for_everyone()


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
