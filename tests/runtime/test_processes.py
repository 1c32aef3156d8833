"""The runtime in other processes: forked, spawned and pickled, and what it imports there."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.errors import ArtifactError
from liteft.runtime import Classifier, load

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["great service", "the parcel is late " * 3, ""]


def answer(connection: Connection, classifier: Classifier) -> None:
    """Classify in a child and send what came out."""
    try:
        connection.send(classifier.logits(TEXTS))
    except Exception as error:  # the parent raises it
        connection.send(error)


def run_python(code: str, *arguments: str, timeout: float = 60) -> str:
    """Run a script in a fresh Python and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_gives_the_same_logits(artifact: Artifact) -> None:
    context = multiprocessing.get_context("fork")
    with load(artifact.path, threads=2) as classifier:
        wanted = classifier.logits(TEXTS)
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=answer, args=(sender, classifier))
        child.start()
        sender.close()  # or a child that died would leave the pipe open
        assert receiver.poll(60), "the child hangs"
        received = receiver.recv()
        child.join(20)
        assert child.exitcode == 0
        np.testing.assert_array_equal(received, wanted)
        np.testing.assert_array_equal(classifier.logits(TEXTS), wanted)  # the parent's own goes on


def test_a_spawned_child_gives_the_same_logits(artifact: Artifact) -> None:
    # the classifier's own method is what the child runs: it could not import this file unless the folder of all
    # tests were on its path, which depends on how pytest was started
    context = multiprocessing.get_context("spawn")
    with (
        load(artifact.path, threads=2) as classifier,
        ProcessPoolExecutor(max_workers=1, mp_context=context) as pool,
    ):
        wanted = classifier.logits(TEXTS)
        received = pool.submit(classifier.logits, TEXTS).result(timeout=60)
        np.testing.assert_array_equal(received, wanted)
        np.testing.assert_array_equal(classifier.logits(TEXTS), wanted)


def test_a_pickled_classifier_loads_again_with_its_settings(artifact: Artifact) -> None:
    with load(artifact.path, device="cpu", threads=1) as classifier:
        copy = pickle.loads(pickle.dumps(classifier))
        assert (copy.path, copy.device, copy.threads) == (artifact.path, "cpu", 1)
        np.testing.assert_array_equal(copy.logits(TEXTS), classifier.logits(TEXTS))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_children_forked_while_other_threads_predict_work_and_exit(artifact: Artifact) -> None:
    run_python(
        """
        import os, signal, sys, threading
        from liteft.runtime import load

        classifier = load(sys.argv[1], threads=2)
        wanted = classifier.predict("great service")
        stop = threading.Event()

        def work():
            while not stop.is_set():
                classifier.predict(["great service", "the parcel"])

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(6):
            child = os.fork()
            if child == 0:
                signal.alarm(30)
                same = classifier.predict("great service") == wanted
                listed = classifier.predict(["great service"] * 3)[2].label == wanted.label
                stop.set()
                if number % 2:
                    classifier.close()
                sys.exit(0 if same and listed else 1)  # a clean end, as in a prefork server
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        stop.set()
        for thread in threads:
            thread.join()
        assert codes == [0] * 6, codes
        """,
        str(artifact.path),
        timeout=90,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_refuses_an_artifact_that_was_replaced_meanwhile(
    new_artifact: Callable[..., Artifact],
) -> None:
    path = new_artifact().path
    context = multiprocessing.get_context("fork")
    with load(path) as classifier:
        (path / "model.onnx").write_bytes(b"another one")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=answer, args=(sender, classifier))
        child.start()
        assert receiver.poll(60)
        error = receiver.recv()
        child.join(20)
        assert isinstance(error, ArtifactError)
        assert "replaced or removed" in str(error)
        assert len(classifier.predict(["great"])) == 1  # the parent holds the old one


def test_importing_the_runtime_loads_nothing_heavy() -> None:
    heavy = run_python(
        """
        import sys
        import liteft, liteft.runtime
        heavy = "torch transformers accelerate onnxruntime onnx pyarrow pandas datasets pydantic safetensors"
        print([name for name in heavy.split() if name in sys.modules])
        """
    )
    assert heavy.strip() == "[]"


def test_classifying_loads_neither_torch_nor_transformers(artifact: Artifact) -> None:
    heavy = run_python(
        """
        import sys
        from liteft.runtime import load
        with load(sys.argv[1]) as classifier:
            classifier.predict(["great service"])
        heavy = "torch transformers accelerate onnx pyarrow pandas datasets safetensors"
        print([name for name in heavy.split() if name in sys.modules])
        """,
        str(artifact.path),
    )
    assert heavy.strip() == "[]"
