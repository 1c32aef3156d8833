"""Classify a table in a Spark job, and count its labels: Arrow in, Arrow out, one model in each Python worker.

    spark-submit examples/spark_job.py /models/reviews /lake/reviews /lake/scored --text body

Reads and writes parquet. Every worker has to see the artifact under the same path, and to have liteft installed.
`liteft score --engine spark` scores files into files instead, and resumes.
"""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from liteft.spark import scorer


def main() -> None:
    """Read, classify, write, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact")
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--text", default="text")
    given = parser.parse_args()

    spark = SparkSession.builder.appName("classify").getOrCreate()
    table = spark.read.parquet(given.source)
    cores = int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))
    score = scorer(given.artifact, text=given.text, on_error="null", threads=cores)
    table.mapInArrow(score, score.schema(table.schema)).write.parquet(given.out)

    spark.read.parquet(given.out).groupBy("prediction").count().orderBy("count", ascending=False).show()
    spark.stop()


if __name__ == "__main__":
    main()
