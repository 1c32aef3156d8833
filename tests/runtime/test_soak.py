"""Many threads share one classifier for minutes: the same bits all the time, and no growth in memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.runtime import load
from tests.runtime.test_native import words

SECONDS = float(os.environ.get("LITEFT_SOAK_SECONDS", "600"))
THREADS = 8
GROWTH_MB = 8.0


def resident_mb() -> float:
    """Return the memory of this process that is in use, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise AssertionError("no VmRSS")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
@pytest.mark.parametrize("backend", ["native"])
def test_eight_threads_get_the_same_bits_for_ten_minutes(
    native: Path, exported: Callable[..., Artifact], backend: str
) -> None:
    texts = words(200, seed=3)
    ends = time.monotonic() + SECONDS
    wrong: list[str] = []
    done = [0] * THREADS

    with load(exported("minilm", "cls", "int8").path, backend=backend, threads=2) as classifier:
        expected = classifier.logits(texts)

        def work(thread: int) -> None:
            generator = np.random.default_rng(thread)
            while time.monotonic() < ends and not wrong:
                chosen = generator.integers(0, len(texts), generator.integers(1, 40))
                found = classifier.logits([texts[row] for row in chosen])
                if not np.array_equal(found, expected[chosen]):
                    wrong.append(f"thread {thread}, call {done[thread]}: rows {chosen.tolist()}")
                done[thread] += 1

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
        for worker in workers:
            worker.start()
        time.sleep(SECONDS * 0.1)  # till every workspace is as large as it gets
        settled = resident_mb()
        for worker in workers:
            worker.join()
        grown = resident_mb() - settled
    assert not wrong, wrong
    assert min(done) > 10
    assert grown < GROWTH_MB, f"{grown:.1f} MB more than {settled:.1f} MB after {sum(done):,} calls"
