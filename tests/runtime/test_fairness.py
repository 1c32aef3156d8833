"""Callers beside each other: a short text waits for no queue of batches, and onnxruntime has few large runs at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.encoded import Encoded
from liteft.runtime import load
from liteft.runtime.onnx_engine import OnnxEngine
from tests.bench.conftest import load_script
from tests.runtime.test_native import words

TOLERANCE = 1.5  # batches of waiting instead of 1: other processes run on this machine
WIDER: dict[str, Any] = {"hidden_size": 192, "num_attention_heads": 6, "num_hidden_layers": 3, "intermediate_size": 768}


@pytest.mark.serial
@pytest.mark.slow
def test_a_short_text_beside_eight_threads_waits_for_one_batch_at_most(
    native: Path, exported: Callable[..., Artifact]
) -> None:
    fairness = load_script("fairness")
    with load(exported("minilm", "mean", **WIDER).path, backend="native", threads=2) as classifier:
        bench = fairness.Bench(classifier, threads=8, texts=100, words=30, seconds=4.0, every=0.05)
        found = fairness.summarize([bench.round(number) for number in range(3)])
    assert found["wait_in_batches"] <= TOLERANCE, found


def test_callers_beside_each_other_get_the_bits_they_get_alone(native: Path, exported: Callable[..., Artifact]) -> None:
    texts = words(120, seed=5)
    pieces = [texts[:1], texts, texts[1:2], texts[:60], texts[2:9]]
    with load(exported("minilm", "mean").path, backend="native", threads=2) as classifier:
        expected = [classifier.logits(piece) for piece in pieces]
        before = classifier.engine_counters
        wrong: list[int] = []

        def ask(number: int) -> None:
            for _ in range(15):
                if not np.array_equal(classifier.logits(pieces[number]), expected[number]):
                    wrong.append(number)

        callers = [threading.Thread(target=ask, args=(number,)) for number in range(len(pieces))]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        after = classifier.engine_counters
    assert not wrong
    assert before is not None
    assert after is not None
    assert after.calls - before.calls == 15 * len(pieces)
    assert after.rows - before.rows == 15 * before.rows


class SlowSession:
    """A session that notes how many runs of which size go on at once."""

    def __init__(self) -> None:
        self.running: list[int] = []
        self.most_large = 0

    def run(self, _: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        size = feed["input_ids"].size
        self.running.append(size)
        self.most_large = max(self.most_large, sum(each > 1000 for each in self.running))
        time.sleep(0.02)
        self.running.remove(size)
        return [np.zeros((len(feed["input_ids"]), 4), dtype=np.float32)]


@pytest.mark.serial
def test_large_runs_of_onnxruntime_are_two_at_once_and_short_ones_wait_for_none(artifact: Artifact) -> None:
    engine = OnnxEngine(artifact, device="cpu", threads=2)
    session = engine._session = SlowSession()
    long = Encoded.of([[1] * 1100])
    callers = [threading.Thread(target=engine.run, args=(long,)) for _ in range(6)]
    for caller in callers:
        caller.start()
    began = time.perf_counter()
    engine.run(Encoded.of([[1] * 9]))
    waited = time.perf_counter() - began
    for caller in callers:
        caller.join()
    assert session.most_large == 2
    assert waited < 0.05  # in a queue behind six: 0.08
    assert isinstance(engine._place(9), nullcontext)


def test_a_forked_child_does_not_wait_for_large_runs_of_its_parent(artifact: Artifact) -> None:
    engine = OnnxEngine(artifact, device="cpu", threads=2)
    with engine._place(2000), engine._place(2000):  # as threads of the parent hold them
        engine.after_fork()
        engine._session = SlowSession()
        assert engine.run(Encoded.of([[1] * 600])).shape == (1, 4)
