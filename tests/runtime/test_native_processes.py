"""The native backend in other processes: forked, spawned and pickled, and where onnxruntime is not installed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.runtime import load
from liteft.runtime.native_library import open_library

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["w1 w2 w3", "w9 " * 20, ""]
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def run_python(code: str, *arguments: str) -> str:
    """Run a script in a fresh Python and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@forking
def test_forked_children_make_classifiers_of_their_own_while_threads_run(
    native: Path, exported: Callable[..., Artifact]
) -> None:
    run_python(
        """
        import os, signal, sys, threading
        from liteft.runtime import load, native_engine

        destroyed = []
        make = native_engine._Handle.__init__
        def spied(self, *arguments):
            make(self, *arguments)
            real = self.functions
            class Functions:
                liteft_run, liteft_counters = real.liteft_run, real.liteft_counters
                @staticmethod
                def liteft_destroy(pointer):
                    destroyed.append(pointer.value)
                    real.liteft_destroy(pointer)
            self.functions = Functions
        native_engine._Handle.__init__ = spied

        classifier = load(sys.argv[1], backend="native", threads=2)
        inherited = classifier._engine._handle.pointer.value
        wanted = classifier.predict("w1 w2")
        stop = threading.Event()

        def work():
            while not stop.is_set():
                classifier.predict(["w1 w2", "w3"] * 20)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(6):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                fresh = classifier.engine_counters.rows == 0
                same = classifier.predict("w1 w2") == wanted and classifier.engine_counters.calls == 1
                own = classifier._engine._handle.pointer.value
                stop.set()
                if number % 2:
                    classifier.close()
                sys.exit(0 if fresh and same and own != inherited and inherited not in destroyed else 1)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        stop.set()
        for thread in threads:
            thread.join()
        assert codes == [0] * 6, codes
        classifier.close()
        assert destroyed == [inherited]
        """,
        str(exported().path),
    )


@forking
def test_a_child_that_never_runs_ends(native: Path, exported: Callable[..., Artifact]) -> None:
    run_python(
        """
        import os, signal, sys
        from liteft.runtime import load
        classifier = load(sys.argv[1], backend="native", threads=2)
        classifier.predict("w1")
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        classifier.predict("w1")
        """,
        str(exported().path),
    )


def test_a_spawned_child_gives_the_same_logits(native: Path, exported: Callable[..., Artifact]) -> None:
    context = multiprocessing.get_context("spawn")
    with (
        load(exported().path, backend="native", threads=2) as classifier,
        ProcessPoolExecutor(max_workers=1, mp_context=context) as pool,
    ):
        wanted = classifier.logits(TEXTS)
        received = pool.submit(classifier.logits, TEXTS).result(timeout=60)
        np.testing.assert_array_equal(received, wanted)


def test_a_pickled_classifier_keeps_backend_and_precision(native: Path, exported: Callable[..., Artifact]) -> None:
    with load(exported().path, backend="native", threads=1) as classifier:
        again = pickle.loads(pickle.dumps(classifier))
        assert (again.backend, again.precision, again.threads) == ("native", "fp32", 1)
        assert classifier.__reduce__()[1][1:] == ("auto", "native", 1, None, None, False)


@pytest.mark.parametrize("backend", ["native", "auto"])
def test_neither_onnxruntime_nor_onnx_is_needed(native: Path, exported: Callable[..., Artifact], backend: str) -> None:
    if backend == "auto" and open_library().instructions == "portable":
        pytest.skip("on plain C++ the native backend has to be asked for by name")
    printed = run_python(
        """
        import sys

        class NotInstalled:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("onnxruntime", "onnx", "torch", "transformers", "google"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, NotInstalled())
        import liteft
        with liteft.load(sys.argv[1], backend=sys.argv[2]) as classifier:
            print(classifier.predict(["w1 w2", "w3"])[0].backend)
        from liteft.doctor import diagnose
        diagnose().render()
        """,
        str(exported().path),
        backend,
    )
    assert printed == "native\n"


def test_classifying_natively_imports_no_onnxruntime(native: Path, exported: Callable[..., Artifact]) -> None:
    printed = run_python(
        """
        import sys
        import liteft
        with liteft.load(sys.argv[1], backend="native") as classifier:
            classifier.predict("w1")
        print([name for name in ("onnxruntime", "onnx", "torch", "google.protobuf") if name in sys.modules])
        """,
        str(exported().path),
    )
    assert printed == "[]\n"
