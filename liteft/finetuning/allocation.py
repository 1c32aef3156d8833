"""Reuse the large buffers of CPU training instead of fetching them from the kernel at every step.

glibc hands out blocks over 32 MB straight from the kernel and gives them back when freed. The gradient of the
embeddings is such a block (30,522 x 384 floats: 47 MB) and is freed and made anew at every step, so each step
pays 11,000 page faults to get zeroed memory that it then fills with zeros again. Kept in the heap the block
costs one pass over memory. Values do not change, only their addresses. Seen with torch 2.13, glibc 2.36 and
MiniLM-L6 in bfloat16: ten steps of the training benchmark on SST-2 took 13,086 page faults instead of 130,565. What
that saves in time is not settled: a bare loop of steps gained about a tenth, the one pair of whole benchmark runs
nothing, all on a busy machine.

Larger blocks than the largest weight are not kept. They are scores of attention and other activations, which have
another size in every batch and leave holes. A training on SubjQA, batches of 32 rows of up to 384 tokens, grew to
17 GB with blocks of up to 1 GB kept, and to 7.4 GB with blocks of up to 64 MB; both took about 7 s a step on a busy
core.

Tried and rejected: flushing denormals. An optimizer step over an embedding whose first moments are all
denormal took twice as long, and by arithmetic those of a rare word get there about 800 steps after it. But
torch.set_flush_denormal reached only the calling thread, so results would depend on which thread computed them.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["large_buffers_returned", "large_buffers_reused"]

# From malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The limit of glibc's own adjustment, bytes; once set by hand it no longer adjusts.
_USUAL_MMAP_THRESHOLD = 32 << 20
_BESIDE = 1 << 16  # bytes that malloc and torch's alignment may add to a block
_USUAL_TRIM_THRESHOLD = 2 * _USUAL_MMAP_THRESHOLD
_CHOSEN_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


@contextmanager
def large_buffers_reused(largest: int) -> Iterator[None]:
    """Keep freed blocks of up to some bytes in this process's heap while the body runs; give them back afterwards.

    Does nothing without glibc, with a glibc that refuses the setting (older ones stop at 32 MB), or if the
    environment already configures glibc's allocator.

    Args:
        largest: bytes of the largest weight that is trained; of a weight beyond 1 GB, blocks of up to 1 GB are kept.
    """
    libc = _glibc()
    kept = min(max(largest + _BESIDE, _USUAL_MMAP_THRESHOLD), 1 << 30)
    if libc is None or not libc.mallopt(_M_MMAP_THRESHOLD, kept):
        yield
        return
    libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _USUAL_MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
        libc.malloc_trim(0)


@contextmanager
def large_buffers_returned() -> Iterator[None]:
    """Give freed blocks of 1 MB and more back to the system at once while the body runs; does nothing without glibc.

    Quantizing a base frees each of its tensors right after reading it. Left in the heap, these holes add up to several
    times what is kept (202 M 4-bit weights: 700 MB of holes, 121 MB kept).
    """
    libc = _glibc()
    if libc is None or not libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20):
        yield
        return
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _USUAL_MMAP_THRESHOLD)
        libc.malloc_trim(0)


def _glibc() -> Any:
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _CHOSEN_BY_USER):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
