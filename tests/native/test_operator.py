"""The operator for ONNX Runtime: one file, with and without the library, says the same."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="models to export need the extra 'train'")
pytest.importorskip("onnxruntime", reason="the operator is ONNX Runtime's")

from liteft.encoder.families import BUILT
from liteft.encoder.spec import POOLINGS
from liteft.exporting import Limits, export
from liteft.form import Precision
from liteft.runtime.cores import default_threads
from tests.exporting.conftest import WORDS, Workshop
from tests.native.sessions import Feed, exported, open_session, read_counters, run

MakeBatch = Callable[..., Feed]
KINDS = ("full", "right", "left", "holes")
FAMILIES = [*BUILT, "minilm", "electra-projected"]
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-4, "int8": 0.02}  # int8 rounds sums of floats that differ in their last bits
TOKENS_TOLERANCE = TOLERANCE | {"int8": 0.05}  # the largest of many more logits
TASKS = Path("/proc/self/task")

pytestmark = pytest.mark.usefixtures("one_thread")


def threads_since(before: set[str], expected: int) -> int:
    """Return how many threads this process has that it had not before, as soon as they are as many as expected.

    A thread that has been joined is listed for a moment longer, so a count that is wrong is taken again for 5 seconds.
    """
    end = time.monotonic() + 5
    while (count := len(task_ids() - before)) != expected and time.monotonic() < end:
        time.sleep(0.01)
    return count


def task_ids() -> set[str]:
    """Return the numbers of this process's threads."""
    return {task.name for task in TASKS.iterdir()}


def rows_of(feed: Feed, pooling: str) -> int:
    """Return how many tokens are real: those that the mask keeps, and the pooled one where it is hidden."""
    mask = feed["attention_mask"]
    return int(mask.sum()) + (int((mask[:, 0] == 0).sum()) if pooling == "cls" else 0)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_labels_equal_those_without_the_library(
    family: str,
    pooling: str,
    precision: Precision,
    workshop: Workshop,
    batch: MakeBatch,
    file: Path,
    library: ctypes.CDLL,
) -> None:
    loaded = workshop.loaded(family, pooling, paired=family != "distilbert")
    model = exported(loaded, precision)
    portable, native = open_session(model), open_session(model, file)
    for kind in KINDS:
        for texts, tokens in ((1, 1), (1, 7), (5, 33)):
            feed = batch(kind, texts, tokens, pad=loaded.config.pad_token_id, seed=tokens)
            expected = run(portable, feed)
            before = read_counters(library)
            logits = run(native, feed)
            after = read_counters(library)
            assert (after.calls - before.calls, after.rows - before.rows) == (1, rows_of(feed, pooling))
            tolerance = (TOKENS_TOLERANCE if pooling == "none" else TOLERANCE)[precision]
            if pooling == "none":  # hidden tokens have zeros, and without the library anything
                shown = feed["attention_mask"] == 1
                assert logits.shape == expected.shape and not logits[~shown].any()
                logits, expected = logits[shown], expected[shown]
            np.testing.assert_allclose(logits, expected, atol=tolerance, err_msg=f"{kind} {texts}x{tokens}")
            best = np.sort(expected, axis=1)
            clear = best[:, -1] - best[:, -2] > 2 * tolerance
            np.testing.assert_array_equal(logits.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_artifact_runs_from_its_folder(
    precision: Precision,
    workshop: Workshop,
    batch: MakeBatch,
    file: Path,
    library: ctypes.CDLL,
    tmp_path: Path,
) -> None:
    folder, split = workshop.learned(paired=True)
    limits = Limits(agreement=0.8, accuracy_drop=0.2)  # the labels of a random model are close
    export(folder, tmp_path / "artifact", precision=precision, verify=split, limits=limits)
    path, feed = tmp_path / "artifact" / "model.onnx", batch("left", 4, 20, pad=0)
    before = read_counters(library)
    logits = run(open_session(path, file), feed)
    assert read_counters(library).rows - before.rows == rows_of(feed, "cls")
    np.testing.assert_allclose(logits, run(open_session(path), feed), atol=TOLERANCE[precision])


def test_without_the_library_the_file_runs_in_standard_operators(
    workshop: Workshop, batch: MakeBatch, library: ctypes.CDLL
) -> None:
    before = read_counters(library)
    run(open_session(exported(workshop.loaded())), batch("full", 2, 9, pad=0))
    assert read_counters(library) == before


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_column_0_pools_even_where_it_is_hidden(pooling: str, workshop: Workshop, batch: MakeBatch, file: Path) -> None:
    model = exported(workshop.loaded("bert", pooling, paired=True))
    shown = batch("full", 4, 12, pad=0)
    hidden = shown | {"attention_mask": shown["attention_mask"].copy()}
    hidden["attention_mask"][1:3, 0] = 0
    native = open_session(model, file)
    logits = run(native, hidden)
    np.testing.assert_allclose(logits, run(open_session(model), hidden), atol=1e-4)
    assert not np.allclose(logits[1:3], run(native, shown)[1:3], atol=1e-4)


@pytest.mark.parametrize("poison", [WORDS, -1, 2**31, 2**62])
def test_what_the_mask_hides_is_not_read(poison: int, workshop: Workshop, batch: MakeBatch, file: Path) -> None:
    native = open_session(exported(workshop.loaded("bert", paired=True)), file)
    clean = batch("holes", 6, 24, pad=0)
    clean["attention_mask"][:, 0] = 1
    kept = clean["attention_mask"] == 1
    poisoned = clean | {name: np.where(kept, clean[name], poison) for name in ("input_ids", "token_type_ids")}
    np.testing.assert_array_equal(run(native, poisoned), run(native, clean))


@pytest.mark.parametrize(("pooling", "shape"), [("cls", (0, 5)), ("none", (0, 6, 5))])
def test_no_texts_have_no_logits(
    pooling: str, shape: tuple[int, ...], workshop: Workshop, batch: MakeBatch, file: Path
) -> None:
    native = open_session(exported(workshop.loaded("bert", pooling, labels=5)), file)
    assert run(native, {name: array[:0] for name, array in batch("full", 2, 6, pad=0).items()}).shape == shape


def test_a_token_has_the_bits_that_it_has_alone_wherever_it_is_padded(
    workshop: Workshop, batch: MakeBatch, file: Path
) -> None:
    native = open_session(exported(workshop.loaded("bert", "none", paired=True), "int8"), file)
    feed = batch("right", 6, 24, pad=0)
    together = run(native, feed)
    for row, length in enumerate(feed["attention_mask"].sum(axis=1)):
        alone = run(native, {name: array[row : row + 1, :length] for name, array in feed.items()})
        np.testing.assert_array_equal(alone[0], together[row, :length])


@pytest.mark.parametrize("threads", ["1", "3"])
def test_sessions_may_run_from_many_threads(
    threads: str,
    workshop: Workshop,
    batch: MakeBatch,
    file: Path,
    library: ctypes.CDLL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LITEFT_THREADS", threads)
    sessions = [open_session(exported(workshop.loaded("bert", seed=seed)), file) for seed in (1, 2)]
    feeds = [batch(KINDS[number % 4], 3, 5 + 7 * number, pad=0, seed=number) for number in range(6)]
    expected = [[run(session, feed) for feed in feeds] for session in sessions]
    before, failures = read_counters(library), []

    def work(first: int) -> None:
        for turn in range(24):
            session, feed = (first + turn) % 2, (first + turn) % 6
            if not np.array_equal(run(sessions[session], feeds[feed]), expected[session][feed]):
                failures.append((session, feed))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    after = read_counters(library)
    assert not failures
    assert after.calls - before.calls == 6 * 24
    assert after.rows - before.rows == 6 * 4 * sum(rows_of(feed, "cls") for feed in feeds)


@pytest.mark.serial
@pytest.mark.skipif(not TASKS.is_dir(), reason="threads are counted in Linux's /proc")
@pytest.mark.parametrize("asked", ["1", "3", "", None])
def test_a_session_has_the_threads_that_were_asked_for(
    asked: str | None, workshop: Workshop, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exported(workshop.loaded())
    if asked is None:
        monkeypatch.delenv("LITEFT_THREADS")
    else:
        monkeypatch.setenv("LITEFT_THREADS", asked)
    before, expected = task_ids(), default_threads() - 1
    session = open_session(model, file)
    assert threads_since(before, expected) == expected
    del session
    assert threads_since(before, 0) == 0


@pytest.mark.skipif(not TASKS.is_dir(), reason="memory is read from Linux's /proc")
def test_a_session_that_is_freed_frees_its_classifier(
    workshop: Workshop, batch: MakeBatch, file: Path, library: ctypes.CDLL
) -> None:
    model, feed = exported(workshop.loaded()), batch("full", 2, 8, pad=0)
    kernels = read_counters(library).kernels

    def load(times: int) -> int:
        for _ in range(times):
            session = open_session(model, file)
            run(session, feed)
            assert read_counters(library).kernels == kernels + 1
            del session
        gc.collect()
        assert read_counters(library).kernels == kernels
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    settled = load(30)
    grown = load(200) - settled
    assert grown < 8e6, f"{grown / 200:.0f} bytes a session"
