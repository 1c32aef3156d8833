"""Spark on this machine: a DataFrame scored by `mapInArrow`, and the engine, which makes the bytes of the others."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from liteft.artifact import Artifact
from liteft.bulk import score
from liteft.errors import DataError
from liteft.runtime import Classifier
from tests.modules import module_of

pytest.importorskip("pyspark", reason="pyspark is not installed: 400 MB of sources, extra 'spark'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, which is not installed"),
]
conftest = module_of("bulk")
write_table, table_rows, parts_of = conftest.write_table, conftest.table_rows, conftest.parts_of
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Spark in two threads of this machine, with Python workers that import this checkout."""
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        builder = builder.config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        started = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
        started.sparkContext.setLogLevel("OFF")
        yield started
        started.stop()


def test_a_data_frame_gets_what_predict_gives(
    tmp_path: Path, session: Any, artifact: Artifact, classifier: Classifier
) -> None:
    from liteft.spark import scorer

    rows = table_rows(300)
    source = session.read.parquet(str(write_table(tmp_path / "in.parquet", rows)))
    score_text = scorer(artifact.path, text="text", keep=["id"], top_k=2)
    schema = score_text.schema(source.schema)
    assert schema.names == ["id", "prediction", "score", "top"]
    found = {row.id: row for row in source.mapInArrow(score_text, schema).collect()}
    wanted = classifier.predict([row["text"] for row in rows], top_k=2)
    assert {n: row.prediction for n, row in found.items()} == {n: each.label for n, each in enumerate(wanted)}
    assert [each.label for each in found[7].top] == [label for label, _ in wanted[7].top]


def test_spark_makes_the_same_bytes(tmp_path: Path, session: Any, artifact: Artifact, classifier: Classifier) -> None:
    source = write_table(tmp_path / "in.parquet", table_rows(2000), group=200)
    score(classifier, source, tmp_path / "here", unit_rows=400)
    done = score(artifact.path, source, tmp_path / "out", engine="spark", workers=2, threads=1, unit_rows=400)
    assert (done.rows, done.units, done.failed) == (2000, 5, ())
    assert parts_of(tmp_path / "out") == parts_of(tmp_path / "here")
    name = sorted(parts_of(tmp_path / "out"))[2]
    (tmp_path / "out" / name).unlink()
    again = score(artifact.path, source, tmp_path / "out", engine="spark", unit_rows=400)
    assert again.resumed == 1600 and parts_of(tmp_path / "out") == parts_of(tmp_path / "here")


def test_rows_that_fail_come_back_with_their_place(tmp_path: Path, session: Any, artifact: Artifact) -> None:
    rows = table_rows(40)
    rows[25]["text"] = None
    source = write_table(tmp_path / "in.parquet", rows)
    done = score(artifact.path, source, tmp_path / "out", engine="spark", unit_rows=10)
    assert (done.rows, [each.row for each in done.failed]) == (30, [f"{source}, row 26"])


def test_batches_of_a_partition_are_scored_without_spark(artifact: Artifact) -> None:
    from liteft.spark import scorer

    table = pa.table({"text": ["great service", "the parcel is late", "great service", None]})
    found = pa.Table.from_batches(list(scorer(artifact.path, on_error="null")(iter(table.to_batches(2)))))
    assert found.column("prediction").null_count == 1 and found.column("score")[0] == found.column("score")[2]
    with pytest.raises(DataError, match="row 3 of a partition"):
        list(scorer(artifact.path)(iter(table.to_batches(2))))
