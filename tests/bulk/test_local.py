"""Processes of this machine: the same bytes with any number of them, and after kill -9 of workers and of the driver."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from liteft.artifact import Artifact
from liteft.bulk import score
from liteft.bulk.crew import Crew
from liteft.bulk.engines import local
from liteft.errors import ConfigError, MissingExtraError, RunError
from liteft.runtime import Classifier
from tests.modules import module_of

conftest = module_of("bulk")
write_table, parts_of, ROOT = conftest.write_table, conftest.parts_of, Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in Linux's /proc")


def workers_of(driver: int) -> list[int]:
    """The worker processes of a driver."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == driver and b"liteft.bulk.worker" in command:
                found.append(int(entry.name))
    return found


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parquet file of 9,000 rows in 30 row groups; a third of the texts occur twice."""
    words = ["the", "parcel", "arrived", "late", "and", "the", "box", "was", "open", "please", "refund", "it"]
    draw = random.Random(1)
    texts = [" ".join(draw.choices(words, k=draw.randrange(4, 60))) for _ in range(6_000)]
    rows = [{"id": n, "text": texts[n % 6_000]} for n in range(9_000)]
    return write_table(tmp_path_factory.mktemp("local") / "in.parquet", rows, group=300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, artifact: Artifact, source: Path) -> dict[str, bytes]:
    """The parts of a run that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = score(artifact.path, source, out, unit_rows=300, workers=1, threads=1)
    assert (done.rows, done.units, done.failed) == (9_000, 30, ())
    return parts_of(out)


def test_two_processes_or_this_one_make_the_same_bytes(
    tmp_path: Path, artifact: Artifact, classifier: Classifier, source: Path, whole: dict[str, bytes]
) -> None:
    score(artifact.path, source, tmp_path / "two", unit_rows=300, workers=2, threads=1)
    assert parts_of(tmp_path / "two") == whole
    score(classifier, source, tmp_path / "here", unit_rows=300)
    assert parts_of(tmp_path / "here") == whole
    assert workers_of(os.getpid()) == []


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_workers_lose_nothing_but_time(
    tmp_path: Path, artifact: Artifact, source: Path, whole: dict[str, bytes], kills: int
) -> None:
    draw = random.Random(kills)
    seen: list[Any] = []
    results: list[Any] = []

    def run() -> None:
        settings: dict[str, Any] = {"unit_rows": 300, "workers": 2, "threads": 1, "progress": seen.append}
        results.append(score(artifact.path, source, tmp_path / "out", **settings))

    driver = threading.Thread(target=run)
    driver.start()
    killed = []
    for _ in range(kills):
        until(lambda: workers_of(os.getpid()) or not driver.is_alive())
        time.sleep(draw.uniform(0.3, 0.8))
        for worker in workers_of(os.getpid())[:1]:
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
    driver.join()
    assert killed and results[0].failed == ()
    assert parts_of(tmp_path / "out") == whole
    assert not list((tmp_path / "out").glob(".*"))


DRIVER = """
    import sys
    from liteft.bulk import results, score
    results._SECONDS = 0.0
    score(*sys.argv[1:4], unit_rows=300, workers=2, threads=1, progress=lambda seen: print(seen.units, flush=True))
"""


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_killed_driver_is_gone_on_from_and_leaves_no_workers(
    tmp_path: Path, artifact: Artifact, source: Path, whole: dict[str, bytes], kills: int
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(DRIVER), str(artifact.path), str(source), str(tmp_path / "out")]
    draw, finished = random.Random(kills), [0]
    for _ in range(kills):
        with subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        ) as driver:
            assert driver.stdout is not None
            finished.append(int(driver.stdout.readline()))
            for _ in range(draw.randrange(1, 4)):
                driver.stdout.readline()
            time.sleep(draw.uniform(0, 0.1))
            workers = workers_of(driver.pid)
            driver.kill()
        until(lambda workers=workers: not any(map(is_running, workers)), 10)
        assert workers
        assert all(whole[name] == part for name, part in parts_of(tmp_path / "out").items())
    assert finished == sorted(finished)
    done = score(artifact.path, source, tmp_path / "out", unit_rows=300, workers=1, threads=1)
    assert done.resumed >= 300 * finished[-1] and done.rows == 9_000
    assert parts_of(tmp_path / "out") == whole
    assert not list((tmp_path / "out").glob(".*"))


DYING = """
    # A worker that dies at the fourth row group.
    import os
    from liteft.bulk import job, worker

    def dying(given, unit, classifier, whole=worker.scored_blocks):
        if unit.start == 3:
            print("out of luck", file=__import__("sys").stderr, flush=True)
            os._exit(7)
        return whole(given, unit, classifier)

    worker.scored_blocks = dying
    worker.main()
"""


def test_a_unit_that_kills_its_worker_three_times_is_set_aside(
    tmp_path: Path, artifact: Artifact, source: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_COMMAND", (sys.executable, "-c", textwrap.dedent(DYING)))
    done = score(artifact.path, source, tmp_path / "out", unit_rows=300, workers=1, threads=1)
    assert (done.rows, len(done.failed)) == (8_700, 1)
    assert "ended with status 7: out of luck" in done.failed[0].error
    assert parts_of(tmp_path / "out").items() < whole.items()


def test_workers_that_cannot_start_end_the_run(
    tmp_path: Path, artifact: Artifact, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_COMMAND", (sys.executable, "-c", "raise SystemExit('no room')"))
    with pytest.raises(RunError, match="a worker cannot be started: it ended with status 1: no room"):
        score(artifact.path, source, tmp_path / "out", workers=1)


def test_two_drivers_cannot_write_one_output(tmp_path: Path, artifact: Artifact, source: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(DRIVER), str(artifact.path), str(source), str(tmp_path / "out")]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        try:
            with pytest.raises(RunError, match="another process is writing"):
                score(artifact.path, source, tmp_path / "out", unit_rows=300)
        finally:
            driver.kill()


def test_cores_are_divided_among_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITEFT_THREADS", "8")

    def crew(workers: int | None, threads: int | None, units: int, engine: str = "local") -> tuple[int, int]:
        return Crew(engine, workers, threads, None).of(units)

    assert crew(None, None, 100) == (8, 1)
    assert crew(None, None, 3) == (3, 2)
    assert crew(None, None, 1) == (1, 8)
    assert crew(2, None, 100) == (2, 4)
    assert crew(None, 4, 100) == (2, 4)
    assert crew(3, 5, 100) == (3, 5)
    assert crew(None, None, 100, "ray") == (0, 1)
    assert crew(4, 2, 100, "spark") == (4, 2)


def test_tables_in_this_process_are_not_given_to_workers(tmp_path: Path, artifact: Artifact) -> None:
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/tables/a.csv", b"text\na\n")
    with pytest.raises(ConfigError, match="in the memory of this process"):
        score(artifact.path, "memory://tables/a.csv", tmp_path / "out")


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("spark", "pyspark")])
def test_an_engine_without_its_package_says_how_to_install_it(
    tmp_path: Path, artifact: Artifact, source: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"needs {package}, which is not installed(.|\n)*{engine}"):
        score(artifact.path, source, tmp_path / "out", engine=engine)
    assert not (tmp_path / "out").exists()


def test_only_the_package_of_the_engine_is_imported(artifact: Artifact, source: Path, tmp_path: Path) -> None:
    code = (
        "import sys, liteft; liteft.score(*sys.argv[1:4], workers=1, threads=1); "
        "print(sorted({'ray', 'pyspark', 'fsspec', 'torch', 'pandas', 'datasets'} & set(sys.modules)))"
    )
    words = [str(artifact.path), str(source), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
