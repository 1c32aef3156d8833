"""What all tests share: the environment of their processes, the native library, and which of them run alone."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

# One thread in each process and in all that it starts, said before anything reads it: two runs are equal in bits only
# with the same number of threads, and two processes of tests share two cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import pytest

from tests import building
from tests.cache import Cache
from tests.locks import locked

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave what importing torch and transformers made out of all later garbage collections.

    Each training ends with one, which would look through some million objects that live as long as the process.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Where several processes run tests, let one marked `serial` run while the others wait.

    Tests share a room, and such a test has it for itself. Whoever waits for the room holds its door, so that the next
    tests of the others do not slip in first.
    """
    if not hasattr(item.config, "workerinput"):
        return (yield)
    with ExitStack() as room:
        with locked(building.LOCKS / "door"):
            room.enter_context(locked(building.LOCKS / "room", shared=not item.get_closest_marker("serial")))
        return (yield)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real data sets: LITEFT_DATA, or ../shared/data beside the checkout."""
    root = Path(os.environ.get("LITEFT_DATA", building.ROOT.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set LITEFT_DATA to a folder of data sets")
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Cache:
    """Where folders that many tests read are made once: ``cache(name, make)``, for all processes of this session."""
    own = tmp_path_factory.getbasetemp()
    return Cache((own.parent if hasattr(request.config, "workerinput") else own) / "cache")


@pytest.fixture(scope="session")
def built() -> Path:
    """A folder with the native library and its tests, built from the checkout, or LITEFT_BUILD."""
    on_a_gpu = ["liteft_cuda"] if Path("/dev/nvidiactl").exists() else []
    return building.build(*building.LIBRARY, *on_a_gpu)


@pytest.fixture(scope="session")
def emulated(built: Path) -> Path:
    """A folder with the tests of the CUDA library on an emulated GPU."""
    folder = building.build("test_emulator", *building.EMULATED) / "tests" / "emulator"
    if not (folder / "test_emulator").is_file():
        pytest.skip("the emulator is built where CUDA's headers are, on Linux, and they are missing here")
    return folder


@pytest.fixture(scope="session")
def rehearsal(built: Path) -> Path:
    """A folder with libliteft and, for an emulated GPU, libliteft_cuda and its programs."""
    folder = building.build("rehearsal") / "rehearsal"
    if not (folder / "libliteft_cuda.so").is_file():
        pytest.skip("the emulator is built where CUDA's headers are, on Linux, and they are missing here")
    return folder


@pytest.fixture(scope="session")
def built_for_gpu() -> Path:
    """A folder with everything, libliteft_cuda and its tests among it where there is nvcc."""
    return building.build()
