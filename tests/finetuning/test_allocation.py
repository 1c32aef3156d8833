"""Large buffers are used again while a training runs, and given back afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest

from liteft.finetuning import allocation

SCRIPT = """
import resource, statistics, torch
from liteft.finetuning.allocation import large_buffers_reused

def faults(floats=16_000_000):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(floats).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
faults()
outside = faults()
with large_buffers_reused(64_000_000):
    # A small block that lands beside a freed one moves the next large one to a new place, now and then.
    inside = round(statistics.median(faults() for _ in range(21)))
    larger = round(statistics.median(faults(20_000_000) for _ in range(21)))
print(outside, inside, larger, faults())
"""


@pytest.mark.skipif(allocation._glibc() is None, reason="needs glibc, and an environment that leaves it alone")
def test_a_freed_buffer_is_used_again_inside_and_given_back_outside() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    outside, inside, larger, afterwards = map(int, run.stdout.split())
    assert inside < outside / 10
    assert larger > outside / 2, "blocks beyond the largest weight are given back"
    assert afterwards > outside / 2


def test_an_allocator_set_by_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    assert allocation._glibc() is None
    with allocation.large_buffers_reused(1 << 26):
        pass
