"""examples/ray_pipeline.py and examples/spark_job.py, each on this machine: the labels that predict gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="tables need pyarrow")

import pyarrow as arrow
import pyarrow.parquet as parquet

import liteft
from liteft.artifact import Artifact
from tests.examples.conftest import ENVIRONMENT, EXAMPLES

TEXTS = [f"{word} number {number}" for number in range(50) for word in ("parcel", "payment", "app", "thank you")]
pytestmark = pytest.mark.slow  # a cluster of its own, or a Java machine, takes seconds to start


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two parquet files; one row has no text."""
    folder = tmp_path_factory.mktemp("tables") / "source"
    folder.mkdir()
    for number, texts in enumerate([TEXTS[:120], [*TEXTS[120:], None]]):
        table = arrow.table({"id": [f"{number}-{row}" for row in range(len(texts))], "body": texts})
        parquet.write_table(table, folder / f"{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def expected(artifact: Artifact) -> dict[str, tuple[str, float]]:
    """The label and score of each text."""
    with liteft.load(artifact.path, threads=1) as classifier:
        return {text: (each.label, each.score) for text, each in zip(TEXTS, classifier.predict(TEXTS), strict=True)}


def ran(script: str, arguments: Sequence[object], **environment: str) -> str:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    env = {name: value for name, value in ENVIRONMENT.items() if name != "RAY_ADDRESS"} | environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def check(rows: list[dict[str, object]], expected: dict[str, tuple[str, float]]) -> None:
    assert len(rows) == len(TEXTS) + 1 and len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        label, score = expected.get(str(row["body"]), (None, None))
        assert row["prediction"] == label
        assert row["score"] == (None if score is None else pytest.approx(score, abs=1e-6))


def test_the_ray_pipeline_writes_all_rows_and_the_doubtful_ones(
    artifact: Artifact, source: Path, expected: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="the pipeline needs the extra 'ray'")
    below = sorted(score for _, score in expected.values())[40]
    arguments = [artifact.path, source, tmp_path, "--text", "body", "--below", below, "--actors", 2]
    ran("ray_pipeline.py", arguments, RAY_TMPDIR="/tmp")
    check(parquet.read_table(tmp_path / "all").to_pylist(), expected)
    doubtful = parquet.read_table(tmp_path / "doubtful").to_pylist()
    assert {row["body"] for row in doubtful} == {text for text, (_, score) in expected.items() if score < below}


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, which is not installed")
def test_the_spark_job_writes_all_rows_and_counts_labels(
    artifact: Artifact, source: Path, expected: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    pytest.importorskip("pyspark", reason="the job needs the extra 'spark'")
    settings = "--master local[2] --conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1 pyspark-shell"
    arguments = [artifact.path, source, tmp_path / "out", "--text", "body"]
    shown = ran(
        "spark_job.py",
        arguments,
        PYSPARK_PYTHON=sys.executable,
        PYSPARK_SUBMIT_ARGS=settings,
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_LOCAL_DIRS=os.fspath(tmp_path / "spark"),
    )
    check(parquet.read_table(tmp_path / "out").to_pylist(), expected)
    most = max(set(expected.values()), key=lambda found: sum(label == found[0] for label, _ in expected.values()))[0]
    assert f"{most}|" in shown
