"""A Ray cluster of two local workers: the bytes that this process makes, also after kill -9 of workers and driver."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from liteft.artifact import Artifact
from liteft.bulk import score
from liteft.errors import ConfigError, DataError
from liteft.runtime import Classifier
from tests.modules import module_of

ray = pytest.importorskip("ray", reason="the engine ray needs the extra 'ray'")
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in Linux's /proc")
conftest = module_of("bulk")
write_table, table_rows, parts_of = conftest.write_table, conftest.table_rows, conftest.parts_of
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, with two CPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("ray") / "in.parquet", table_rows(6000), group=300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, classifier: Classifier, source: Path) -> dict[str, bytes]:
    """The parts that this process makes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    score(classifier, source, out, unit_rows=300)
    return parts_of(out)


def scoring_processes() -> list[int]:
    """The worker processes of this process's cluster: those below it that run the task."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                commands[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue

    def below(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return [each for each, command in commands.items() if b"ray::score_remotely" in command and below(each)]


def test_ray_makes_the_same_bytes(
    tmp_path: Path, cluster: None, artifact: Artifact, source: Path, whole: dict[str, bytes]
) -> None:
    done = score(artifact.path, source, tmp_path / "out", engine="ray", workers=2, threads=1, unit_rows=300)
    assert (done.rows, done.failed) == (6000, ())
    assert parts_of(tmp_path / "out") == whole


@pytest.mark.slow
def test_killed_ray_workers_lose_nothing_but_time(
    tmp_path: Path, cluster: None, artifact: Artifact, source: Path, whole: dict[str, bytes]
) -> None:
    results: list[Any] = []
    settings: dict[str, Any] = {"engine": "ray", "workers": 2, "threads": 1, "unit_rows": 300}
    driver = threading.Thread(target=lambda: results.append(score(artifact.path, source, tmp_path / "out", **settings)))
    driver.start()
    draw, killed = random.Random(5), 0
    while driver.is_alive() and killed < 3:
        for worker in scoring_processes()[:1]:  # the first as soon as it is seen: all units take less than a second
            os.kill(worker, signal.SIGKILL)
            killed += 1
            time.sleep(draw.uniform(0.0, 0.3))
        time.sleep(0.01)
    driver.join()
    assert killed and results[0].failed == ()
    assert parts_of(tmp_path / "out") == whole


DRIVER = """
    import sys
    from liteft.bulk import results, score
    results._SECONDS = 0.0
    tell = lambda seen: print(seen.units, flush=True)
    score(*sys.argv[1:4], engine="ray", workers=2, threads=1, unit_rows=300, progress=tell)
"""


@pytest.mark.slow
def test_a_killed_driver_with_a_cluster_of_its_own_is_gone_on_from(
    tmp_path: Path, cluster: None, artifact: Artifact, source: Path, whole: dict[str, bytes]
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(DRIVER), str(artifact.path), str(source), str(tmp_path / "out")]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        command, env=environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            if int(line) >= 4:
                break
        driver.kill()
    assert all(whole[name] == part for name, part in parts_of(tmp_path / "out").items())
    done = score(artifact.path, source, tmp_path / "out", engine="ray", workers=2, threads=1, unit_rows=300)
    assert done.resumed >= 1200 and parts_of(tmp_path / "out") == whole


@pytest.mark.slow
def test_rows_that_fail_come_back_with_their_place(tmp_path: Path, cluster: None, artifact: Artifact) -> None:
    rows = table_rows(40)
    rows[25]["text"] = None
    source = write_table(tmp_path / "in.parquet", rows)
    done = score(artifact.path, source, tmp_path / "out", engine="ray", unit_rows=10)
    assert (done.rows, [each.row for each in done.failed]) == (30, [f"{source}, row 26"])


@pytest.mark.slow
def test_a_pipeline_of_ray_data_is_scored(cluster: None, artifact: Artifact, classifier: Classifier) -> None:
    import liteft.ray

    rows = table_rows(200)
    scored = (
        ray.data.from_arrow(pa.Table.from_pylist(rows))
        .map_batches(
            liteft.ray.Scorer,
            fn_constructor_args=[str(artifact.path)],
            fn_kwargs={"text": "text", "keep": ["id"]},
            batch_format="pyarrow",
            batch_size=64,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=2),
        )
        .take_all()
    )
    wanted = {
        row["id"]: each.label for row, each in zip(rows, classifier.predict([r["text"] for r in rows]), strict=True)
    }
    assert {row["id"]: row["prediction"] for row in scored} == wanted
    assert set(scored[0]) == {"id", "prediction", "score"}


@pytest.mark.slow
def test_a_scorer_takes_the_cpus_that_ray_gave_it(cluster: None, artifact: Artifact) -> None:
    @ray.remote(num_cpus=2)
    def threads(path: str) -> int:
        import liteft.ray

        return liteft.ray.Scorer(path)._classifier.threads

    assert ray.get(threads.remote(str(artifact.path))) == 2


def test_a_scorer_outside_of_ray_has_one_thread_and_refuses_other_batches(artifact: Artifact) -> None:
    import liteft.ray

    scorer = liteft.ray.Scorer(artifact.path)
    assert scorer._classifier.threads == 1
    table = pa.table({"text": ["great service", None]})
    assert scorer(table, on_error="null").column("prediction").to_pylist()[1] is None
    with pytest.raises(DataError, match="row 1 of the batch"):
        scorer(table)
    with pytest.raises(DataError, match="already has a column"):
        scorer(table.append_column("score", [[1, 2]]))
    with pytest.raises(ConfigError, match="the batch is a value of type dict"):
        scorer({"text": ["a"]})
