"""Classifying files: columns and order kept, killed runs resumed to the same bytes, refusals, errors."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.artifact import Artifact
from liteft.data import read_rows
from liteft.errors import ArtifactError, ConfigError, DataError, LiteftError, RunError
from liteft.runtime import Classifier, Progress, predict_file, progress
from liteft.runtime import parts as parts_module
from liteft.runtime import scored_rows as scored_rows_module

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["great service", "the parcel is late", "", "please refund\nthe second payment", "app, (4.2)", "naïve café 包"]


def rows_of(count: int) -> list[dict[str, Any]]:
    """Rows with a gold label, a number and texts of many lengths."""
    return [
        {
            "id": str(n),
            "text": " ".join([TEXTS[n % len(TEXTS)]] * (1 + n % 7)),
            "label": f"gold {n % 3}",
            "n": str(n * n),
        }
        for n in range(count)
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    kind = path.suffix
    if kind == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == ".json":
        path.write_text(json.dumps(rows))
    elif kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=10)
    elif kind == ".txt":
        path.write_text("".join(row["text"].replace("\n", " ") + "\n" for row in rows))
    else:
        mark = "," if kind == ".csv" else "\t"
        quoted = [['"' + str(cell).replace('"', '""') + '"' for cell in row.values()] for row in rows]
        path.write_text("\n".join(mark.join(cells) for cells in [list(rows[0]), *quoted]) + "\n")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A jsonl file of 40 rows."""
    return write_rows(tmp_path / "in.jsonl", rows_of(40))


def stop_after(rows: int) -> Callable[[Progress], None]:
    """Progress that interrupts a run when ``rows`` rows have been classified."""

    def progress(seen: Progress) -> None:
        if seen.rows >= rows:
            raise KeyboardInterrupt

    return progress


@pytest.fixture
def every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is reported after every row."""
    monkeypatch.setattr("liteft.runtime.progress._SECONDS", 0.0)


@pytest.mark.parametrize("written", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("given", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt"])
def test_order_and_columns_are_kept(tmp_path: Path, classifier: Classifier, given: str, written: str) -> None:
    source = write_rows(tmp_path / f"in{given}", rows_of(40))
    before = read(source)
    done = predict_file(classifier, source, tmp_path / f"out{written}", part_rows=7)
    after = read(tmp_path / f"out{written}")
    assert done.rows == len(after) == 40
    assert list(after[0]) == [*before[0], "prediction", "score"]
    assert [{name: row[name] for name in before[0]} for row in after] == before
    wanted = classifier.predict([row["text"] for row in before])
    assert [row["prediction"] for row in after] == [answer.label for answer in wanted]
    np.testing.assert_allclose([float(row["score"]) for row in after], [x.score for x in wanted], atol=1e-5)


def test_an_artifacts_folder_will_do(tmp_path: Path, artifact: Artifact, source: Path, classifier: Classifier) -> None:
    predict_file(artifact.path, str(source), str(tmp_path / "a.csv"), device="cpu", threads=1)
    predict_file(classifier, source, tmp_path / "b.csv")
    assert [row["prediction"] for row in read(tmp_path / "a.csv")] == [
        row["prediction"] for row in read(tmp_path / "b.csv")
    ]
    classifier.predict("still open")


def test_parquet_columns_keep_their_types(tmp_path: Path, classifier: Classifier) -> None:
    table = pa.table(
        {
            "text": pa.array(["great", "late", None], pa.large_string()),
            "when": pa.array([1, None, 3], pa.timestamp("us", "UTC")),
            "stars": pa.array([5, 1, None], pa.int8()),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    predict_file(classifier, tmp_path / "in.parquet", tmp_path / "out.parquet", part_rows=2, on_error="null", top_k=2)
    after = pq.read_table(tmp_path / "out.parquet")
    assert after.select(table.column_names).equals(table)
    assert after.schema.field("prediction").type == pa.string()
    assert after.schema.field("score").type == pa.float64()
    assert pa.types.is_list(after.schema.field("top").type)
    assert after["prediction"].null_count == after["score"].null_count == after["top"].null_count == 1


def test_counts_are_those_of_the_file(tmp_path: Path, classifier: Classifier) -> None:
    texts = ["great", None, "", "  ", "late " * 200, 7, "late " * 200]
    source = write_rows(tmp_path / "in.jsonl", [{"text": text} for text in texts])
    done = predict_file(classifier, source, tmp_path / "out.jsonl", on_error="null", part_rows=2)
    assert (done.rows, done.refused, done.empty, done.truncated, done.resumed) == (7, 2, 2, 2, 0)
    after = read(tmp_path / "out.jsonl")
    assert [row["prediction"] is None for row in after] == [text is None or text == 7 for text in texts]
    assert all((row["score"] is None) == (row["prediction"] is None) for row in after)


def test_top_k_adds_the_best_labels(tmp_path: Path, source: Path, classifier: Classifier) -> None:
    predict_file(classifier, source, tmp_path / "out.jsonl", top_k=3)
    for row in read(tmp_path / "out.jsonl"):
        assert row["top"][0] == {"label": row["prediction"], "score": row["score"]}
        assert [entry["score"] for entry in row["top"]] == sorted((x["score"] for x in row["top"]), reverse=True)
        assert len(row["top"]) == 3


@pytest.mark.parametrize("threshold", [None, 0.9, [0.1, 0.2, 0.3, 0.99, 0.5, 0.6]])
def test_multi_label_models_add_all_labels_over_their_thresholds(
    tmp_path: Path, source: Path, multi_classifier: Classifier, threshold: Any
) -> None:
    predict_file(multi_classifier, source, tmp_path / "out.jsonl", threshold=threshold, top_k=2, part_rows=20)
    wanted = multi_classifier.predict([row["text"] for row in read(source)], threshold=threshold, top_k=6)
    after = read(tmp_path / "out.jsonl")
    assert list(after[0])[-3:] == ["predictions", "scores", "top"]
    for row, answer in zip(after, wanted, strict=True):
        assert row["predictions"] == list(answer.labels)
        np.testing.assert_allclose(row["scores"], [dict(answer.top)[name] for name in answer.labels], atol=1e-5)
        assert [entry["label"] for entry in row["top"]] == [name for name, _ in answer.top[:2]]
    assert any(row["predictions"] != [row["top"][0]["label"]] for row in after)


def test_pairs_are_read_from_two_columns(tmp_path: Path, pair_classifier: Classifier) -> None:
    rows = [{"text_b": f"late {n}", "text_a": "the parcel " * n} for n in range(12)]
    source = write_rows(tmp_path / "in.csv", rows)
    predict_file(pair_classifier, source, tmp_path / "out.csv", part_rows=5)
    predict_file(pair_classifier, source, tmp_path / "other.csv", text="text_b", pair="text_a")
    for name, first, second in (("out", "text_a", "text_b"), ("other", "text_b", "text_a")):
        wanted = pair_classifier.predict([(row[first], row[second]) for row in rows])
        after = read(tmp_path / f"{name}.csv")
        assert [row["prediction"] for row in after] == [answer.label for answer in wanted]
    assert (tmp_path / "out.csv").read_bytes() != (tmp_path / "other.csv").read_bytes()


def test_a_pair_with_half_missing_is_refused(tmp_path: Path, pair_classifier: Classifier) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"text": "a", "text_b": "b"}, {"text": "a", "text_b": None}])
    with pytest.raises(DataError, match=r"line 2, column 'text_b', is None"):
        predict_file(pair_classifier, source, tmp_path / "out.jsonl")
    assert predict_file(pair_classifier, source, tmp_path / "out.jsonl", on_error="null").refused == 1


def test_a_model_of_pairs_needs_a_second_column_and_others_refuse_one(
    tmp_path: Path, source: Path, classifier: Classifier, pair_classifier: Classifier
) -> None:
    with pytest.raises(DataError, match="reads pairs") as caught:
        predict_file(pair_classifier, source, tmp_path / "out.csv")
    assert "--pair NAME" in caught.value.command_text()
    with pytest.raises(ConfigError, match="reads single texts"):
        predict_file(classifier, source, tmp_path / "out.csv", pair="label")


def test_a_file_without_rows_gives_one_with_columns(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "in.csv").write_text("id,text\n")
    assert predict_file(classifier, tmp_path / "in.csv", tmp_path / "out.csv").rows == 0
    assert (tmp_path / "out.csv").read_text() == "id,text,prediction,score\n"
    assert names(tmp_path) == ["in.csv", "out.csv"]


def test_columns_of_the_input_are_never_overwritten(tmp_path: Path, source: Path, classifier: Classifier) -> None:
    first = predict_file(classifier, source, tmp_path / "first.jsonl").path
    with pytest.raises(DataError, match="already has a column 'prediction'") as caught:
        predict_file(classifier, first, tmp_path / "second.jsonl")
    assert "--prefix" in caught.value.command_text()
    predict_file(classifier, first, tmp_path / "second.jsonl", prefix="new_")
    row = read(tmp_path / "second.jsonl")[7]
    assert list(row)[-4:] == ["prediction", "score", "new_prediction", "new_score"]
    assert row["new_prediction"] == row["prediction"]


def test_an_added_column_that_only_a_late_row_has_is_refused_there(tmp_path: Path, classifier: Classifier) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"text": "a"}] * 300 + [{"text": "a", "score": 1}])
    with pytest.raises(DataError, match="line 301 already has a column 'score'"):
        predict_file(classifier, source, tmp_path / "out.jsonl")


def test_a_key_that_csv_has_no_column_for_is_refused_with_its_line(tmp_path: Path, classifier: Classifier) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"text": "a"}] * 300 + [{"text": "a", "late": 1}])
    with pytest.raises(DataError, match=r"in\.jsonl, line 301 has 'late'"):
        predict_file(classifier, source, tmp_path / "out.csv")


# Killed and resumed


@pytest.mark.usefixtures("every_row")
@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_a_run_that_goes_on_writes_the_same_bytes_and_reads_no_finished_text_again(
    tmp_path: Path, classifier: Classifier, kind: str
) -> None:
    source = write_rows(tmp_path / f"in{kind}", rows_of(40))
    predict_file(classifier, source, tmp_path / f"whole{kind}", part_rows=6)
    with pytest.raises(KeyboardInterrupt):
        predict_file(classifier, source, tmp_path / f"out{kind}", part_rows=6, progress=stop_after(21))
    assert not (tmp_path / f"out{kind}").exists()
    before = classifier.stats.texts
    done = predict_file(classifier, source, tmp_path / f"out{kind}", part_rows=6)
    assert (done.rows, done.resumed) == (40, 18)
    assert classifier.stats.texts - before == 22
    assert (tmp_path / f"out{kind}").read_bytes() == (tmp_path / f"whole{kind}").read_bytes()
    assert names(tmp_path) == [f"in{kind}", f"out{kind}", f"whole{kind}"]


@pytest.mark.usefixtures("every_row")
def test_parts_of_long_texts_are_cut_alike_before_and_after_a_stop(
    tmp_path: Path, source: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored_rows_module, "_PART_CHARACTERS", 300)
    predict_file(classifier, source, tmp_path / "whole.parquet")
    with pytest.raises(KeyboardInterrupt):
        predict_file(classifier, source, tmp_path / "out.parquet", progress=stop_after(30))
    done = predict_file(classifier, source, tmp_path / "out.parquet")
    assert 0 < done.resumed < 30
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.usefixtures("every_row")
def test_counts_include_those_of_the_run_before(tmp_path: Path, classifier: Classifier) -> None:
    rows = [{"text": [None, "", "late " * 99][n % 3]} for n in range(12)]
    source = write_rows(tmp_path / "in.jsonl", rows)
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        predict_file(classifier, source, out, part_rows=3, on_error="null", progress=stop_after(7))
    done = predict_file(classifier, source, out, part_rows=3, on_error="null")
    assert (done.resumed, done.refused, done.empty, done.truncated) == (6, 4, 4, 4)


POINTS = """
    # Forks a child for every point at which it may die: the n-th call of one of these functions.
    import os, signal, sys
    from pathlib import Path
    from liteft.runtime import load, predict_file

    artifact, source, folder, suffix = sys.argv[1], *map(Path, sys.argv[2:4]), sys.argv[4]
    classifier = load(artifact, device="cpu", threads=1)
    classifier.predict("warm")

    def dying(function, calls):
        def call(*arguments, **named):
            calls[0] -= 1
            if calls[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)
        return call

    def forked(work):
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        return os.waitpid(child, 0)[1]

    def run(output, point):
        calls = [point]
        for name in ("fsync", "replace", "unlink", "open", "mkdir", "rmdir", "truncate"):
            setattr(os, name, dying(getattr(os, name), calls))
        import liteft.runtime.row_formats as formats
        formats._append = dying(formats._append, calls)
        predict_file(classifier, source, output, part_rows=20)

    whole = folder / f"whole{suffix}"
    predict_file(classifier, source, whole, part_rows=20)
    deaths = 0
    for point in range(1, 1000):
        output = folder / f"out-{point}{suffix}"
        status = forked(lambda: run(output, point))
        assert status in (0, signal.SIGKILL), (point, status)
        if status == 0:
            break
        deaths += 1
        assert not output.exists() or output.read_bytes() == whole.read_bytes(), point
        finished = output.exists() and not (folder / f"{output.name}.parts" / "state.json").exists()
        if not finished:
            predict_file(classifier, source, output, part_rows=20)
            assert not (folder / f"{output.name}.parts").exists(), point
        assert output.read_bytes() == whole.read_bytes(), point
    print(deaths)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_kill_at_any_step_of_writing_is_gone_on_from_to_the_same_bytes(
    tmp_path: Path, artifact: Artifact, source: Path, suffix: str
) -> None:
    (tmp_path / "out").mkdir()
    arguments = [str(artifact.path), str(source), str(tmp_path / "out"), suffix]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(POINTS), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30  # points at which a child died


ONE_RUN = """
    import sys
    from liteft.runtime import bulk
    from liteft.runtime import progress as reports
    reports._SECONDS = 0.0
    def progress(seen):
        print(seen.rows, flush=True)
    bulk.predict_file(*sys.argv[1:4], part_rows=int(sys.argv[4]), device="cpu", threads=1, progress=progress)
"""


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_a_run_killed_at_random_moments_and_resumed_gives_the_same_bytes(
    tmp_path: Path, artifact: Artifact, classifier: Classifier, kind: str
) -> None:
    source = write_rows(tmp_path / f"in{kind}", rows_of(500))
    output, whole = tmp_path / f"out{kind}", tmp_path / f"whole{kind}"
    command = [sys.executable, "-c", textwrap.dedent(ONE_RUN), str(artifact.path), str(source)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(whole), "10"], env=environment, check=True, capture_output=True)
    moments = random.Random(7)
    begun_at = [0]
    for _ in range(4):
        with subprocess.Popen(
            [*command, str(output), "10"], env=environment, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            begun_at.append(int(child.stdout.readline()))  # the first row that this run classified
            for _ in range(moments.randrange(15, 60)):
                child.stdout.readline()
            time.sleep(moments.uniform(0, 0.02))
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL and not output.exists()
    done = predict_file(artifact.path, source, output, part_rows=10, device="cpu", threads=1)
    assert begun_at == sorted(begun_at) and begun_at[-1] > 20  # never begun again
    assert done.resumed >= begun_at[-1] - 1 and done.resumed % 10 == 0
    assert output.read_bytes() == whole.read_bytes()


# What may differ, and what must not


@pytest.fixture
def begun(tmp_path: Path, source: Path, classifier: Classifier, every_row: None) -> Callable[..., Any]:
    """A run with 18 finished rows, as a function that goes on with other arguments."""
    settings: dict[str, Any] = {"part_rows": 6}
    with pytest.raises(KeyboardInterrupt):
        predict_file(classifier, source, tmp_path / "out.csv", progress=stop_after(21), **settings)

    def go_on(artifact: Any = classifier, **others: Any) -> Any:
        return predict_file(artifact, source, tmp_path / "out.csv", **settings | others)

    return go_on


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"top_k": 2}, ("settings top_k", "was None, is 2")),
        ({"text": "label"}, ("settings text", "was 'text', is 'label'")),
        ({"prefix": "p_"}, ("settings prefix", "was '', is 'p_'")),
        ({"part_rows": 7}, ("settings part_rows", "was 6, is 7")),
        ({"encoding": "latin-1"}, ("input encoding", "was None, is 'latin-1'")),
    ],
)
def test_a_changed_setting_is_refused_by_its_name(
    begun: Callable[..., Any], tmp_path: Path, changed: dict[str, Any], difference: tuple[str, str]
) -> None:
    with pytest.raises(RunError) as caught:
        begun(**changed)
    assert caught.value.accepted == dict([difference])
    assert begun().resumed == 18  # and nothing was lost
    assert begun(**changed, overwrite=True).resumed == 0  # finished: now it may be anything


def test_a_changed_setting_goes_with_restart(begun: Callable[..., Any], tmp_path: Path) -> None:
    assert begun(top_k=1, restart=True).resumed == 0
    assert "top" in read(tmp_path / "out.csv")[0]


def test_what_changes_no_answer_may_change(begun: Callable[..., Any]) -> None:
    assert begun(token_budget=64, on_error="null").resumed == 18


@pytest.mark.parametrize("edit", ["longer", "same size", "touched"])
def test_an_input_that_changed_is_refused(begun: Callable[..., Any], source: Path, edit: str) -> None:
    content = source.read_bytes()
    if edit == "longer":
        source.write_bytes(content + b'{"text": "new"}\n')
    elif edit == "same size":
        found = source.stat()
        source.write_bytes(content.replace(b"great", b"grand"))
        os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))
    else:
        os.utime(source, ns=(1, 1))
    with pytest.raises(RunError) as caught:
        begun()
    wanted = {"longer": "input bytes", "same size": "input first MiB", "touched": "input modified_ns"}[edit]
    assert wanted in caught.value.accepted
    assert all(name.startswith("input ") for name in caught.value.accepted)


def test_another_artifact_is_refused(begun: Callable[..., Any], new_artifact: Callable[..., Artifact]) -> None:
    other = new_artifact(max_tokens=31)
    with pytest.raises(RunError, match="begun with other settings") as caught:
        begun(artifact=other.path, device="cpu")
    assert list(caught.value.accepted) == ["artifact manifest"]


def test_a_copy_of_the_artifact_and_a_moved_input_are_the_same(
    begun: Callable[..., Any], tmp_path: Path, artifact: Artifact, tiny: ModuleType, source: Path
) -> None:
    copy = tiny.write_artifact(tmp_path / "copy")
    moved = source.rename(tmp_path / "moved.jsonl")
    assert predict_file(copy.path, moved, tmp_path / "out.csv", part_rows=6, device="cpu").resumed == 18


def test_an_input_that_changes_while_it_is_read_is_no_result(
    tmp_path: Path, source: Path, classifier: Classifier
) -> None:
    def progress(seen: Progress) -> None:
        with open(source, "a") as file:
            file.write('{"text": "new"}\n')

    with pytest.raises(DataError, match="changed while it was read"):
        predict_file(classifier, source, tmp_path / "out.csv", progress=progress)
    assert not (tmp_path / "out.csv").exists()


def test_a_finished_output_is_not_written_again(tmp_path: Path, source: Path, classifier: Classifier) -> None:
    predict_file(classifier, source, tmp_path / "out.csv")
    digest = hashlib.sha256((tmp_path / "out.csv").read_bytes()).digest()
    with pytest.raises(RunError, match="exists"):
        predict_file(classifier, source, tmp_path / "out.csv", top_k=1)
    assert hashlib.sha256((tmp_path / "out.csv").read_bytes()).digest() == digest
    predict_file(classifier, source, tmp_path / "out.csv", top_k=1, overwrite=True)
    assert "top" in read(tmp_path / "out.csv")[0]
    assert names(tmp_path) == ["in.jsonl", "out.csv"]


def test_another_process_that_writes_the_output_is_waited_for_by_the_caller(
    tmp_path: Path, source: Path, artifact: Artifact, classifier: Classifier
) -> None:
    code = ONE_RUN.replace("print(seen.rows, flush=True)", "print(seen.rows, flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", textwrap.dedent(code), str(artifact.path), str(source), str(tmp_path / "o.csv")]
    with subprocess.Popen(
        [*command, "5"], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunError, match=r"another process is writing .*o\.csv"):
            predict_file(classifier, source, tmp_path / "o.csv", part_rows=5)
        other.stdin.close()  # and the other finishes, undisturbed
        other.stdout.read()
    assert other.returncode == 0
    assert len(read(tmp_path / "o.csv")) == 40


# Rows that are refused


@pytest.mark.parametrize(
    ("value", "what"),
    [(None, "is None"), (3, "is 3"), (["a"], "is a value of type list"), ("a\ud83d", "contains half a surrogate pair")],
)
def test_a_row_without_a_usable_text_is_named_by_its_line(
    tmp_path: Path, classifier: Classifier, value: Any, what: str
) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"text": "a"}, {"text": "b"}, {"text": value}, {"text": "c"}])
    with pytest.raises(DataError) as caught:
        predict_file(classifier, source, tmp_path / "out.jsonl")
    message = str(caught.value)
    assert message.startswith(f"{source}, line 3, column 'text', {what}")
    assert 'on_error="null"' in message or "on_error='null'" in message
    assert "--on-error null" in caught.value.command_text()
    assert names(tmp_path) == ["in.jsonl"]
    predict_file(classifier, source, tmp_path / "out.jsonl", on_error="null")
    assert [row["prediction"] is None for row in read(tmp_path / "out.jsonl")] == [False, False, True, False]


def test_a_text_without_tokens_is_refused_like_none(tmp_path: Path, new_artifact: Callable[..., Artifact]) -> None:
    artifact = new_artifact()
    tokenizer = json.loads((artifact.path / "tokenizer.json").read_text())
    tokenizer["post_processor"] = None  # no [CLS], no [SEP]
    path = _with_file(artifact, "tokenizer.json", json.dumps(tokenizer))
    source = write_rows(tmp_path / "in.jsonl", [{"text": "great"}, {"text": " "}])
    with pytest.raises(DataError, match="line 2 has no tokens"):
        predict_file(path, source, tmp_path / "out.jsonl")
    done = predict_file(path, source, tmp_path / "out.jsonl", on_error="null")
    assert (done.refused, done.empty) == (1, 0)
    assert [row["prediction"] is None for row in read(tmp_path / "out.jsonl")] == [False, True]


def _with_file(artifact: Artifact, name: str, content: str) -> Path:
    """Change a file of an artifact, and its manifest with it."""
    (artifact.path / name).write_text(content)
    manifest = json.loads((artifact.path / "manifest.json").read_text())
    digest = hashlib.sha256(content.encode()).hexdigest()
    manifest["files"][name] = {"bytes": len(content.encode()), "sha256": digest}
    (artifact.path / "manifest.json").write_text(json.dumps(manifest))
    return artifact.path


def test_a_run_that_raised_goes_on_with_nulls_but_not_the_other_way_round(
    tmp_path: Path, classifier: Classifier
) -> None:
    rows = [{"text": None if n in (7, 15) else "great"} for n in range(20)]
    source = write_rows(tmp_path / "in.jsonl", rows)
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match="line 8"):
        predict_file(classifier, source, out, part_rows=5)
    (tmp_path / "stop").touch()

    def stop(seen: Progress) -> None:
        if seen.rows >= 12:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("liteft.runtime.progress._SECONDS", 0.0)
        predict_file(classifier, source, out, part_rows=5, on_error="null", progress=stop)
    with pytest.raises(RunError, match="1 of its finished rows have no prediction"):
        predict_file(classifier, source, out, part_rows=5)
    done = predict_file(classifier, source, out, part_rows=5, on_error="null")
    assert (done.resumed, done.refused) == (10, 2)


# Errors


def test_a_misspelt_column_is_an_error_with_the_closest(tmp_path: Path, source: Path, classifier: Classifier) -> None:
    with pytest.raises(DataError) as caught:
        predict_file(classifier, source, tmp_path / "out.csv", text="txt")
    assert str(caught.value) == (f"{source} has no column 'txt'.\n  columns: id, text, label, n\n  try: text=\"text\"")
    assert names(tmp_path) == ["in.jsonl"]


def test_columns_that_leave_the_text_unclear_are_an_error(tmp_path: Path, classifier: Classifier) -> None:
    source = write_rows(tmp_path / "in.csv", [{"a": "x", "b": "y"}])
    with pytest.raises(DataError, match="the column names do not say which one holds the text"):
        predict_file(classifier, source, tmp_path / "out.csv")


@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
def test_the_input_is_never_the_output(tmp_path: Path, source: Path, classifier: Classifier, link: str) -> None:
    output = tmp_path / "out.jsonl" if link else source
    if link == "symbolic":
        output.symlink_to(source)
    elif link == "hard":
        output.hardlink_to(source)
    before = source.read_bytes()
    with pytest.raises(ConfigError, match="is the input"):
        predict_file(classifier, source, output, overwrite=True)
    assert source.read_bytes() == before


def test_an_output_that_is_a_link_stays_one(tmp_path: Path, source: Path, classifier: Classifier) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "disk" / "real.csv")
    predict_file(classifier, source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").is_symlink()
    assert len(read(tmp_path / "disk" / "real.csv")) == 40


def test_a_nul_byte_is_named_by_its_line_and_finished_parts_stay(tmp_path: Path, classifier: Classifier) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(b"text\n" + b"great\n" * 20_000 + b"a\0b\n")
    with pytest.raises(DataError, match="line 20002 contains a NUL byte"):
        predict_file(classifier, source, tmp_path / "out.csv", part_rows=10_000)
    assert names(tmp_path) == ["in.csv", "out.csv.parts"]
    assert "half" not in "".join(names(tmp_path / "out.csv.parts"))


def test_a_wrong_encoding_is_an_error_and_leaves_nothing(tmp_path: Path, classifier: Classifier) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes("text\ncafé\n".encode("cp1252"))
    with pytest.raises(DataError, match="is not UTF-8: byte 0xe9 at offset 8, line 2") as caught:
        predict_file(classifier, source, tmp_path / "out.csv")
    assert "--encoding cp1252" in caught.value.command_text()
    assert names(tmp_path) == ["in.csv"]
    predict_file(classifier, source, tmp_path / "out.csv", encoding="cp1252")
    assert read(tmp_path / "out.csv")[0]["text"] == "café"  # UTF-8 now


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (DataError, {"input": "no-such.csv"}),
        (ConfigError, {"output": "out.json"}),
        (ConfigError, {"output": "out"}),
        (ConfigError, {"part_rows": 0}),
        (ConfigError, {"part_rows": True}),
        (ConfigError, {"top_k": 0}),
        (ConfigError, {"threshold": 0.5}),
        (ConfigError, {"on_error": "skip"}),
        (ConfigError, {"token_budget": -1}),
        (ConfigError, {"threads": 2}),
        (ConfigError, {"delimiter": "ab", "input": "in.csv"}),
        (DataError, {"encoding": "utf-9"}),
        (ArtifactError, {"artifact": "."}),
    ],
)
def test_what_cannot_be_is_an_error_before_anything_is_written(
    tmp_path: Path, source: Path, classifier: Classifier, error: type[LiteftError], change: dict[str, Any]
) -> None:
    (tmp_path / "in.csv").write_text("text\na\n")
    before = names(tmp_path)
    named = {"artifact": classifier, "input": "in.jsonl", "output": "out.csv"} | change
    with pytest.raises(error):
        predict_file(
            named.pop("artifact"), tmp_path / str(named.pop("input")), tmp_path / str(named.pop("output")), **named
        )
    assert names(tmp_path) == before


def test_a_full_disk_is_an_error_after_which_the_run_goes_on(
    tmp_path: Path, source: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    sync = parts_module._sync

    def full(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(path)

    monkeypatch.setattr(parts_module, "_sync", full)
    with pytest.raises(RunError) as caught:
        predict_file(classifier, source, tmp_path / "out.csv", part_rows=10)
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'out.csv'} could not be written: No space left on device.",
        "  rows that are saved: 20",
        "  try: free some space",
        "  try: an output in another folder",
        "  try: the same call as before, to continue",
    ]
    assert predict_file(classifier, source, tmp_path / "out.csv", part_rows=10).resumed == 20


def test_an_output_that_cannot_be_written_is_an_error(tmp_path: Path, source: Path, classifier: Classifier) -> None:
    with pytest.raises(RunError, match="could not be written"):
        predict_file(classifier, source, source / "out.csv")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    with pytest.raises(RunError, match="Permission denied"):
        predict_file(classifier, source, folder / "out.csv")


# Progress and cost


def test_progress_ends_with_all_rows(tmp_path: Path, classifier: Classifier, every_row: None) -> None:
    source = write_rows(tmp_path / "in.parquet", rows_of(40))
    seen: list[Progress] = []
    predict_file(classifier, source, tmp_path / "out.csv", part_rows=10, progress=seen.append)
    assert [entry.rows for entry in seen] == [*range(1, 41), 40]
    assert {entry.total for entry in seen} == {40}
    assert str(Progress(20, 40, 10.0)) == "20 of 40 rows, 10 rows/s, 2 s left"
    assert str(Progress(1200, None, 0.0)) == "1,200 rows, 0 rows/s"


def test_the_first_row_of_the_first_batch_reports_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    seen: list[Progress] = []
    pace = progress.Pace(seen.append, 0, 2048)
    for batch_end in (4.0, 8.0):  # rows come when their batch is done, all at once
        now[0] = batch_end
        for _ in range(1024):
            pace.row()
    assert [entry.rows for entry in seen] == [1025]
    assert seen[0].rows_per_second == pytest.approx(1025 / 8)


def test_the_rate_is_that_of_this_run(tmp_path: Path, source: Path, classifier: Classifier, every_row: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        predict_file(classifier, source, tmp_path / "out.csv", part_rows=39, progress=stop_after(40))
    seen: list[Progress] = []

    def slow(progress: Progress) -> None:
        time.sleep(0.1)
        seen.append(progress)

    predict_file(classifier, source, tmp_path / "out.csv", part_rows=39, progress=slow)
    assert seen[-1].rows == 40
    assert 0 < seen[-1].rows_per_second < 10  # one row and a tenth of a second, not 40 rows


def test_memory_does_not_grow_with_the_input(tmp_path: Path, classifier: Classifier) -> None:
    peaks = []
    for rows in (200, 1000, 6000):
        source = write_rows(tmp_path / f"in-{rows}.jsonl", [{"text": "late", "ballast": "x" * 2000}] * rows)
        tracemalloc.start()
        predict_file(classifier, source, tmp_path / f"out-{rows}.jsonl", part_rows=100)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1] + 200_000  # 10 MB more of input


def test_the_public_name_is_loaded_on_first_use() -> None:
    code = """
        import sys
        import liteft.runtime
        assert "liteft.runtime.bulk" not in sys.modules and "liteft.data" not in sys.modules
        from liteft.runtime import Classified, Progress, predict_file
        heavy = "torch transformers onnxruntime pyarrow pandas datasets pydantic"
        print([name for name in heavy.split() if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr
