"""Scoring tables: rows and columns, parts as the checkpoint, units that fail, refusals."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather  # pa.feather
import pyarrow.parquet as pq
import pytest

import liteft
from liteft.artifact import Artifact
from liteft.bulk import ScoreProgress, job, plan_score, results, score
from liteft.bulk.job import failure_of
from liteft.bulk.plan import Unit
from liteft.bulk.results import Planned
from liteft.errors import ConfigError, DataError, RunError, option
from liteft.runtime import Classifier, load, predict_file, repeats, scored_blocks
from tests.modules import module_of

conftest = module_of("bulk")
write_table, table_rows, parts_of, scored_rows = (
    getattr(conftest, name) for name in ("write_table", "table_rows", "parts_of", "scored_rows")
)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl", ".txt"])
def test_rows_keep_their_order_and_columns_and_get_what_predict_gives(
    tmp_path: Path, classifier: Classifier, suffix: str
) -> None:
    source = write_table(tmp_path / f"in{suffix}", table_rows(120))
    predict_file(classifier, source, tmp_path / "one.parquet", top_k=2)
    done = score(classifier, source, tmp_path / "out", top_k=2, unit_bytes=1000, unit_rows=30)
    wanted = pq.read_table(tmp_path / "one.parquet").to_pylist()
    assert done.units > 3 and done.rows == 120 and not done.failed
    found = scored_rows(tmp_path / "out")
    for row, other in zip(found, wanted, strict=True):  # onnxruntime pads: scores are close
        assert [each["label"] for each in row.pop("top")] == [each["label"] for each in other.pop("top")]
        assert row.pop("score") == pytest.approx(other.pop("score"), abs=1e-5)
    assert found == wanted
    assert len({pq.read_schema(path) for path in (tmp_path / "out").glob("*.parquet")}) == 1


def test_what_is_not_cut_is_scored_whole(tmp_path: Path, classifier: Classifier) -> None:
    rows = [{"text": each["text"]} for each in table_rows(50)]
    plain = write_table(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "a.json").write_text(json.dumps(rows))
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file,
        pa.ipc.new_file(file, pa.table({"text": [""]}).schema) as to,
    ):
        to.write_table(pa.Table.from_pylist(rows))
    score(classifier, plain, tmp_path / "plain")
    for name in ("a.jsonl.gz", "a.json", "a.arrow"):
        done = score(classifier, tmp_path / name, tmp_path / f"out-{name}", unit_bytes=100)
        assert done.units == 1
        assert scored_rows(tmp_path / f"out-{name}") == scored_rows(tmp_path / "plain")


def test_quoted_line_ends_and_marks_at_the_beginning_are_kept(tmp_path: Path, classifier: Classifier) -> None:
    rows = [{"id": str(n), "text": f'one, "two"\r\nthree {n}\n'} for n in range(60)]
    source = write_table(tmp_path / "in.csv", rows)
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    done = score(classifier, source, tmp_path / "out", unit_bytes=150)
    assert done.units > 10
    assert [{"id": row["id"], "text": row["text"]} for row in scored_rows(tmp_path / "out")] == rows


def test_rows_that_are_longer_than_a_unit_are_scored_once(tmp_path: Path, classifier: Classifier) -> None:
    rows = [{"text": "word " * (500 if n % 3 else 1) + str(n)} for n in range(12)]
    done = score(classifier, write_table(tmp_path / "in.jsonl", rows), tmp_path / "out", unit_bytes=600)
    assert done.units > 12 and done.rows == 12
    assert [row["text"] for row in scored_rows(tmp_path / "out")] == [row["text"] for row in rows]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_without_rows_is_a_part_without_rows(tmp_path: Path, classifier: Classifier, suffix: str) -> None:
    if suffix == ".csv":
        (tmp_path / "in.csv").write_text("id,text\n")
    else:
        pq.write_table(
            pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}), tmp_path / "in.parquet"
        )
    assert score(classifier, tmp_path / f"in{suffix}", tmp_path / "out").rows == 0
    part = pq.read_table(next((tmp_path / "out").glob("*.parquet")))
    assert part.column_names == ["id", "text", "prediction", "score"] and len(part) == 0


def test_several_files_and_kept_columns(tmp_path: Path, classifier: Classifier) -> None:
    for name in ("b", "a"):
        rows = [{**row, "id": f"{name}{row['id']}", "more": [1, {"x": None}]} for row in table_rows(20)]
        write_table(tmp_path / f"{name}.jsonl", rows)
    done = score(classifier, str(tmp_path / "*.jsonl"), tmp_path / "out", keep=["id"], prefix="new_")
    assert done.rows == 40
    rows = scored_rows(tmp_path / "out")
    assert list(rows[0]) == ["id", "new_prediction", "new_score"]
    with pytest.raises(DataError, match="column 'more' holds values of several types"):
        score(classifier, str(tmp_path / "*.jsonl"), tmp_path / "out")
    assert [row["id"] for row in rows] == [f"{name}{n}" for name in "ab" for n in range(20)]


def test_no_column_need_be_kept(tmp_path: Path, classifier: Classifier) -> None:
    for suffix in (".csv", ".parquet"):
        score(classifier, write_table(tmp_path / f"a{suffix}", table_rows(9)), tmp_path / suffix, keep=[])
        assert [list(row) for row in scored_rows(tmp_path / suffix)] == [["prediction", "score"]] * 9


def test_wide_strings_dictionaries_and_dots_in_names_pass(tmp_path: Path, classifier: Classifier) -> None:
    texts = [row["text"] for row in table_rows(30)]
    table = pa.table(
        {"my.text": pa.array(texts, pa.large_string()), "kind": pa.array(["a", "b", None] * 10).dictionary_encode()}
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=7)
    score(classifier, tmp_path / "in.parquet", tmp_path / "out", text="my.text", unit_rows=7)
    rows = scored_rows(tmp_path / "out")
    assert [row["my.text"] for row in rows] == texts
    assert [row["prediction"] for row in rows] == [each.label for each in classifier.predict(texts)]
    encoded = pa.table({"text": pa.array(texts).dictionary_encode()})
    pq.write_table(encoded, tmp_path / "encoded.parquet")
    score(classifier, tmp_path / "encoded.parquet", tmp_path / "encoded")
    assert [row["prediction"] for row in scored_rows(tmp_path / "encoded")] == [row["prediction"] for row in rows]


# The same texts


def test_equal_texts_of_a_unit_are_computed_once(
    tmp_path: Path, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.bulk.reading.BLOCK_ROWS", 16)
    rows = [{"text": f"text number {n % 23}"} for n in range(100)] + [{"text": None}]
    source = write_table(tmp_path / "in.jsonl", rows)
    with load(artifact.path, threads=1) as counting:
        done = score(counting, source, tmp_path / "out", on_error="null")
        assert counting.stats.texts == 23
    assert (done.repeated, done.refused, done.rows) == (77, 1, 101)
    assert "77 repeated (76.2%)" in done.render()
    found = scored_rows(tmp_path / "out")
    assert [row["score"] for row in found[:23]] == [row["score"] for row in found[23:46]]
    assert found[-1] == {"text": None, "prediction": None, "score": None}


def test_results_that_are_no_longer_kept_are_computed_again(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.bulk.reading.BLOCK_ROWS", 8)
    source = write_table(tmp_path / "in.jsonl", [{"text": f"text {n % 30}"} for n in range(90)])
    score(classifier, source, tmp_path / "kept")
    few = lambda: repeats.Repeats(most_bytes=400)  # noqa: E731
    monkeypatch.setattr(job, "Repeats", few)
    assert score(classifier, source, tmp_path / "few").repeated < 60
    assert scored_rows(tmp_path / "few") == scored_rows(tmp_path / "kept")


def test_earlier_texts_are_found_whatever_their_order() -> None:
    draw = np.random.default_rng(3)
    keys = draw.integers(0, 2**63, (500, 2)).astype(np.uint64)
    store = repeats.Repeats()
    for start in range(0, 400, 50):
        store.add(keys[start : start + 50], pa.table({"n": np.arange(start, start + 50)}))
    order = draw.permutation(500)
    found = store.find(keys[order])
    assert (found == np.where(order < 400, order, -1)).all()
    numbers = np.unique(found[found >= 0])[::7]
    assert store.results(numbers).column("n").to_pylist() == numbers.tolist()


def test_pairs_that_only_differ_in_their_border_differ() -> None:
    from liteft.runtime.inputs import Text
    from liteft.runtime.word_texts import WordText

    texts = [Text("ab", "c"), Text("a", "bc"), Text("abc", None), Text("abc", ""), Text("", "abc")]
    texts += [WordText("a b", [(0, 1), (2, 3)]), WordText("a b", [(0, 3)]), WordText("a b", [(0, 3)], 0)]  # type: ignore[list-item]
    assert len({repeats.text_digest(text) for text in texts}) == len(texts)


# The parts are the checkpoint


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A parquet file of 100 rows in 10 row groups."""
    return write_table(tmp_path / "in.parquet", table_rows(100))


def test_a_second_call_does_nothing(tmp_path: Path, classifier: Classifier, source: Path) -> None:
    score(classifier, source, tmp_path / "out", unit_rows=10)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    done = score(classifier, source, tmp_path / "out", unit_rows=10)
    assert (done.resumed, done.rows) == (100, 100)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert plan_score(classifier, source, tmp_path / "out", unit_rows=10).finished == 10


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_nobody(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def of_another_unit(path: Path) -> None:
    other = next(each for each in path.parent.glob("*.parquet") if each != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("spoil", [cut, emptied, of_nobody, of_another_unit, Path.unlink])
def test_a_part_that_is_broken_or_missing_is_made_again(
    tmp_path: Path, classifier: Classifier, source: Path, spoil: Callable[[Path], None]
) -> None:
    score(classifier, source, tmp_path / "out", unit_rows=10)
    whole = parts_of(tmp_path / "out")
    spoil(tmp_path / "out" / sorted(whole)[3])
    (tmp_path / "out" / ".in-00001-0.parquet.00.tmp").write_bytes(b"half")
    done = score(classifier, source, tmp_path / "out", unit_rows=10)
    assert done.resumed == 90
    assert parts_of(tmp_path / "out") == whole
    assert not list((tmp_path / "out").glob(".*"))


def test_footers_say_what_parts_are_made_of(tmp_path: Path, classifier: Classifier, source: Path) -> None:
    score(classifier, source, tmp_path / "out", unit_rows=50)
    said = json.loads(pq.read_metadata(sorted((tmp_path / "out").glob("*.parquet"))[0]).metadata[b"liteft.part"])
    assert said["unit"]["path"] == str(source) and said["unit"]["stop"] == 5
    assert said["counts"] == {
        "rows": 50,
        "refused": 0,
        "truncated": 0,
        "empty": 8,
        "repeated": 22,
    }
    assert len(said["artifact"]) == len(said["texts"]) == 64
    assert said["settings"]["text"] == "text"


def touched(source: Path) -> dict[str, Any]:
    os.utime(source, ns=(1, 1))
    return {}


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (touched, "input: .*which has changed"),
        (lambda source: {"top_k": 2}, "top_k: was None, is 2"),
        (lambda source: {"keep": ["id"]}, "schema: "),
        (lambda source: {"unit_rows": 20}, "units: of another size"),
    ],
)
def test_parts_of_something_else_are_refused_and_removed_only_if_asked(
    tmp_path: Path, classifier: Classifier, source: Path, change: Callable[[Path], dict[str, Any]], difference: str
) -> None:
    score(classifier, source, tmp_path / "out", unit_rows=10)
    before = parts_of(tmp_path / "out")
    settings = {"unit_rows": 10} | change(source)
    with pytest.raises(RunError, match=f"has 10 parts of something else(.|\n)*{difference}"):
        score(classifier, source, tmp_path / "out", **settings)
    assert parts_of(tmp_path / "out") == before
    (tmp_path / "out" / "mine.txt").write_text("not a part")
    done = score(classifier, source, tmp_path / "out", **settings, overwrite=True)
    assert (done.resumed, done.rows) == (0, 100)
    assert not parts_of(tmp_path / "out").keys() & before.keys()
    assert (tmp_path / "out" / "mine.txt").exists()


def test_parts_of_another_artifact_are_refused(tmp_path: Path, classifier: Classifier, source: Path) -> None:
    other = module_of("runtime", "tiny.py").write_artifact(tmp_path / "other", labels=("a", "b", "c", "d"))
    score(other.path, source, tmp_path / "out")
    with pytest.raises(RunError, match="artifact: another one"):
        score(classifier, source, tmp_path / "out")


def test_more_inputs_keep_the_parts_that_are_there(tmp_path: Path, classifier: Classifier, source: Path) -> None:
    score(classifier, tmp_path / "*.parquet", tmp_path / "out")
    write_table(tmp_path / "a.parquet", table_rows(10))
    done = score(classifier, tmp_path / "*.parquet", tmp_path / "out")
    assert (done.resumed, done.rows) == (100, 110)


# Units that fail


def test_a_unit_with_a_row_without_a_text_is_set_aside_and_the_others_are_finished(
    tmp_path: Path, classifier: Classifier
) -> None:
    rows = table_rows(50)
    rows[23]["text"] = None
    source = write_table(tmp_path / "in.parquet", rows)
    done = score(classifier, source, tmp_path / "out", unit_rows=10)
    assert (done.rows, len(done.failed)) == (40, 1)
    assert done.failed[0].row == f"{source}, row 24" and "is None" in done.failed[0].error
    assert json.loads((tmp_path / "out" / "_failed.json").read_text())[0]["row"] == f"{source}, row 24"
    assert "failed: " in done.render() and done.to_dict()["failed"][0]["path"] == str(source)
    again = score(classifier, source, tmp_path / "out", unit_rows=10, on_error="null")
    assert (again.resumed, again.rows, again.refused, again.failed) == (40, 50, 1, ())
    assert not (tmp_path / "out" / "_failed.json").exists()
    with pytest.raises(RunError, match="has 1 finished part with nulls for 1 row without a usable text"):
        score(classifier, source, tmp_path / "out", unit_rows=10)
    assert len(parts_of(tmp_path / "out")) == 5  # a part with nulls is not what raise asks for, and is not lost for it
    back = score(classifier, source, tmp_path / "out", unit_rows=10, overwrite=True)
    assert (back.rows, len(back.failed)) == (40, 1) and len(parts_of(tmp_path / "out")) == 4


@pytest.mark.parametrize("given", ["surrogate", "number", "list"])
def test_what_is_no_text_is_refused_as_in_predict(tmp_path: Path, classifier: Classifier, given: str) -> None:
    value = {"surrogate": '"a\\ud800"', "number": "5", "list": '["a"]'}[given]
    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "a"}\n' * 250 + f'{{"id": 2, "text": {value}}}\n')
    done = score(classifier, tmp_path / "in.jsonl", tmp_path / "out", keep=["id"], on_error="null")
    assert (done.rows, done.refused) == (251, 1)
    raised = score(classifier, tmp_path / "in.jsonl", tmp_path / "out2", keep=["id"])
    assert raised.failed[0].row.endswith("in.jsonl, line 251")


def test_a_value_that_fits_no_column_names_its_row(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "a"}\n' * 250 + '{"id": "x", "text": "b"}\n')
    done = score(classifier, tmp_path / "in.jsonl", tmp_path / "out")
    assert "in.jsonl, line 251: column 'id' holds 'x'" in done.failed[0].error


def test_a_url_keeps_its_slashes_in_messages(tmp_path: Path, classifier: Classifier) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://lake/in.csv", "w") as file:
        file.write("id,text\n" + "1,a text\n" * 100 + "2,a,b\n3,a\0b\n")
    done = score(classifier, "memory://lake/in.csv", tmp_path / "out", unit_bytes=300)
    assert {"memory:///lake/in.csv" in each.error for each in done.failed} == {True}


def test_a_plan_words_hints_for_python_and_for_the_command_line() -> None:
    unit = Unit("in.csv", 9, "1", "csv", 0, 0, 9, 9, None)
    failed = failure_of(unit, DataError("in.csv is odd.", fix=option("keep", ["id"])))
    planned = Planned("out", (unit,), 0, (failed,), 1, 1, None, 0, None)
    assert "try: keep=['id']" in planned.render()
    assert "try: --keep id" in planned.render().command


def test_a_broken_row_of_csv_is_named_from_where_its_unit_begins(tmp_path: Path, classifier: Classifier) -> None:
    lines = [f"{n},text {n}\n" for n in range(100)]
    lines[70] = "70,text,70\n"
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(lines))
    done = score(classifier, tmp_path / "in.csv", tmp_path / "out", unit_bytes=300)
    assert len(done.failed) == 1 and "3 fields" in done.failed[0].error
    begin = int(done.failed[0].error.split("after byte ")[1].split(", line")[0].replace(",", ""))
    line = int(done.failed[0].error.split(", line ")[1].split(" ")[0])
    assert (tmp_path / "in.csv").read_bytes()[begin:].decode().splitlines()[line - 1] == "70,text,70"


@pytest.mark.parametrize(
    "head", ["id,text\n", "\ufeffid,text\r\n", "sep=,\n\nid,text\n", '"id","text"\n', 'id,"text\n"\n']
)
@pytest.mark.parametrize(("row", "said"), [("8,a,b\n", "3 fields"), ("8,a\0b\n", "a NUL byte")])
def test_lines_of_a_csv_file_in_one_unit_are_its_own(
    tmp_path: Path, classifier: Classifier, head: str, row: str, said: str
) -> None:
    (tmp_path / "in.csv").write_text(head + "1,a text\n" * 7 + row, encoding="utf-8", newline="")
    done = score(classifier, tmp_path / "in.csv", tmp_path / "out")
    line = len((tmp_path / "in.csv").read_bytes().splitlines())
    assert f"in.csv, line {line} " in done.failed[0].error and said in done.failed[0].error


def test_files_that_cannot_be_read_or_have_other_columns_are_set_aside(tmp_path: Path, classifier: Classifier) -> None:
    write_table(tmp_path / "a.parquet", table_rows(10))
    write_table(tmp_path / "b.parquet", [{"id": "one", "text": "a"}])
    write_table(tmp_path / "c.parquet", [{"id": 1, "body": "a"}])
    (tmp_path / "d.parquet").write_bytes(b"PAR1 but not really")
    write_table(tmp_path / "e.csv", table_rows(10))
    done = score(classifier, tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    errors = {Path(each.unit.path).name: each.error for each in done.failed}
    assert (done.rows, sorted(errors)) == (10, ["b.parquet", "c.parquet", "d.parquet", "e.csv"])
    assert "column 'id' is of type string" in errors["b.parquet"]
    assert "has no column 'text'" in errors["c.parquet"]
    assert "cannot be read as parquet" in errors["d.parquet"]
    with pytest.raises(DataError, match="cannot be read as parquet"):
        score(classifier, tmp_path / "d.parquet", tmp_path / "out")


def test_another_failure_is_tried_three_times(
    tmp_path: Path, classifier: Classifier, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    whole = scored_blocks.BlockScorer.score

    def failing(self: Any, table: Any, *rest: Any) -> Any:
        if table.column("id")[0].as_py() in (30, 60):
            calls.append(table.column("id")[0].as_py())
            if calls.count(60) < 2 or calls[-1] == 30:
                raise OSError(5, "Input/output error")
        return whole(self, table, *rest)

    monkeypatch.setattr(scored_blocks.BlockScorer, "score", failing)
    done = score(classifier, source, tmp_path / "out", unit_rows=10)
    assert (calls.count(30), calls.count(60), done.rows) == (3, 2, 90)
    assert done.failed[0].unit.start == 3 and "Input/output error" in done.failed[0].error
    assert not list((tmp_path / "out").glob(".*"))


def test_a_full_disk_ends_the_run_at_once_and_keeps_the_parts(
    tmp_path: Path, classifier: Classifier, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from liteft.bulk.parts import PartWriter

    whole, calls = PartWriter.add, []

    def full(self: Any, block: Any) -> None:
        calls.append(block)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, block)

    monkeypatch.setattr(PartWriter, "add", full)
    with pytest.raises(RunError, match=r"No space left on device(.|\n)*parts that are saved: 3"):
        score(classifier, source, tmp_path / "out", unit_rows=10)
    assert len(calls) == 4 and len(parts_of(tmp_path / "out")) == 3
    monkeypatch.undo()
    assert score(classifier, source, tmp_path / "out", unit_rows=10).resumed == 30


# Settings, progress and plans


def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, classifier: Classifier, artifact: Artifact, source: Path
) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"engine": "dask"}, ConfigError, "engine must be local, ray or spark"),
        ({"workers": 0}, ConfigError, "workers must be a positive integer"),
        ({"threads": 1.5}, ConfigError, "threads must be a positive integer"),
        ({"unit_rows": 0}, ConfigError, "unit_rows must be"),
        ({"keep": "id"}, ConfigError, "keep is a str"),
        ({"keep": ["nr"]}, DataError, "has no column 'nr'"),
        ({"text": "body"}, DataError, "no column 'body'"),
        ({"threshold": 0.5}, ConfigError, "threshold"),
        ({"top_k": 0}, ConfigError, "top_k"),
        ({"on_error": "skip"}, ConfigError, "on_error must be raise or null"),
        ({"pair": "id"}, ConfigError, "single texts"),
    ]
    for settings, kind, message in wrong:
        with pytest.raises(kind, match=message):
            score(artifact.path, source, tmp_path / "out", **settings)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="this process alone"):
        score(classifier, source, tmp_path / "out", workers=2)
    with pytest.raises(ConfigError, match="are set when the classifier is loaded"):
        score(classifier, source, tmp_path / "out", backend="onnxruntime")
    with pytest.raises(ConfigError, match="path is an int"):
        score(3, source, tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is not a folder"):
        score(classifier, source, source.with_suffix(".parquet"))


def test_an_added_column_overwrites_nothing(tmp_path: Path, classifier: Classifier) -> None:
    source = write_table(tmp_path / "in.csv", [{"text": "a", "score": "1"}])
    with pytest.raises(DataError, match="already has a column 'score'"):
        score(classifier, source, tmp_path / "out")
    assert score(classifier, source, tmp_path / "out", keep=["text"]).rows == 1


def test_progress_tells_units_rows_and_the_time_that_is_left(
    tmp_path: Path, classifier: Classifier, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_SECONDS", 0.0)
    seen: list[ScoreProgress] = []
    told: list[str] = []
    score(classifier, source, tmp_path / "out", unit_rows=10, progress=seen.append, tell=told.append)
    assert [each.units for each in seen if each.seconds_left is not None][-1] == 10
    assert [each.rows for each in seen] == sorted(each.rows for each in seen) and seen[-1].rows == 100
    assert seen[-1].seconds_left == 0.0
    assert str(seen[-1]).startswith("10 of 10 units, 100 rows, ") and str(seen[-1]).endswith(" rows/s, 0 s left")
    assert told == [f"reads the column 'text' of {source}"]


def test_a_plan_shows_units_bytes_and_hours_and_writes_nothing(
    tmp_path: Path, classifier: Classifier, source: Path
) -> None:
    planned = plan_score(classifier, source, tmp_path / "out", unit_rows=10, seconds=0.2)
    assert len(planned.units) == 10 and planned.finished == 0 and not (tmp_path / "out").exists()
    assert planned.hours is not None and planned.rows_per_second is not None
    assert planned.hours == pytest.approx(100 / planned.rows_per_second / 3600)
    assert "10 units of 1 files" in planned.render() and "about 0.00 hours" in planned.render()
    assert len(planned.to_dict()["units"]) == 10
    assert plan_score(classifier, source, tmp_path / "out", seconds=0).hours is None
    with pytest.raises(ConfigError, match="plan_score has no argument 'units'"):
        plan_score(classifier, source, tmp_path / "out", units=3)


def test_the_public_names_are_those_of_the_package() -> None:
    assert liteft.score is score and liteft.plan_score is plan_score
