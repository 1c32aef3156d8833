"""Compressed files, Arrow files, saved data sets, a folder for each label, and what other programs write."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from liteft.data import Dataset, load_dataset, load_texts, read_rows
from liteft.errors import DataError

Write = Callable[..., Path]
Rows = list[dict[str, Any]]
WHOLE = {"validation_fraction": 0, "test_fraction": 0}


def _zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def _packed(suffix: str, text: str, name: str = "a.csv") -> bytes:
    packers: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    return packers[suffix](text.encode()) if suffix in packers else _zipped(**{name.replace(".", "__"): text})


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_compressed_files_are_read_as_they_are(write: Write, reviews: Rows, suffix: str) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in reviews)
    table = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in reviews)
    texts = [row["text"] for row in reviews]
    for name, content in (("a.jsonl", lines), ("a.csv", table), ("a.json", json.dumps(reviews))):
        path = write(name + suffix, _packed(suffix, content, name))
        assert load_dataset(path, **WHOLE).train.texts == texts
    assert load_texts(write(f"t.txt{suffix}", _packed(suffix, "one\ntwo\n", "t.txt"))) == ["one", "two"]


def test_a_zip_is_what_its_one_file_is(write: Write) -> None:
    table = "text,label\na,x\nb,y\n"
    assert load_dataset(write("a.zip", _zipped(data__csv=table)), **WHOLE).labels == ("x", "y")
    with pytest.raises(DataError, match="holds 2 files") as error:
        load_dataset(write("b.zip", _zipped(a__csv=table, b__csv=table)))
    assert "unpack it, and give the folder" in str(error.value)


def test_compressed_splits_of_a_folder(write: Write, reviews: Rows) -> None:
    for name, rows in (("train", reviews[:30]), ("dev", reviews[30:])):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        folder = write(f"d/{name}.jsonl.gz", _packed(".gz", text)).parent
    write("d/other.zip", _zipped(a__csv="x", b__csv="y"))
    assert {name: len(split) for name, split in load_dataset(folder, test_fraction=0).splits.items()} == {
        "train": 30,
        "validation": 10,
    }


@pytest.mark.parametrize(
    "content", [_packed(".gz", "text,label\n" * 99)[:30], b"text,label\n"], ids=["cut off", "not packed"]
)
def test_what_cannot_be_unpacked_is_told(write: Write, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.csv\.gz cannot be unpacked") as error:
        load_dataset(write("a.csv.gz", content))
    assert "remove the ending" in str(error.value)


def test_a_wrong_byte_in_a_compressed_file_is_located(write: Write) -> None:
    with pytest.raises(DataError, match="byte 0xe9 at offset 16, line 2"):
        load_dataset(write("a.csv.gz", gzip.compress("text,label\na caf\xe9,x\n".encode("latin-1"))))


def test_a_compressed_file_streams(write: Write) -> None:
    path = write("a.jsonl.gz", _packed(".gz", '{"text": "x"}\n' * 300_000))
    list(zip(range(9), read_rows(path), strict=False))
    tracemalloc.start()
    assert sum(1 for _ in read_rows(path)) == 300_000
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def _named_classes() -> datasets.Dataset:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = [{"text": f"text {row}", "label": row % 2} for row in range(20)]
    return datasets.Dataset.from_list(rows, features=features)


def _answers(dataset: Dataset) -> tuple[tuple[str, ...], list[int]]:
    assert dataset.train.labels is not None
    return dataset.labels, dataset.train.labels[:3].tolist()


def test_names_of_classes_are_read_from_parquet_and_saved_data_sets(tmp_path: Path) -> None:
    whole = _named_classes()
    whole.to_parquet(tmp_path / "a.parquet")
    whole.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=whole, test=whole.select(range(5))).save_to_disk(tmp_path / "several")
    for source in ("a.parquet", "one", "several"):
        assert _answers(load_dataset(tmp_path / source, **WHOLE)) == (("no", "yes"), [0, 1, 0])
    several = load_dataset(tmp_path / "several", **WHOLE)
    assert len(several.test) == 5 and "saved by datasets' save_to_disk" in several.notes
    assert several.train.where(2).endswith(".arrow, row 3")


def test_names_of_several_classes_a_row_are_read_from_parquet(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["joy", "fear"])
    features = datasets.Features({"text": datasets.Value("string"), "labels": datasets.List(names)})
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "labels": [[0, 1], []]}, features=features)
    rows.to_parquet(tmp_path / "a.parquet")
    dataset = load_dataset(tmp_path / "a.parquet", **WHOLE)
    assert dataset.labels == ("fear", "joy") and dataset.task == "multi_label"


def test_a_saved_data_set_in_part_is_refused(tmp_path: Path) -> None:
    datasets.DatasetDict(train=_named_classes()).save_to_disk(tmp_path / "d")
    (tmp_path / "d" / "train" / "state.json").write_text("{}")
    with pytest.raises(DataError, match=r"state\.json does not list '_data_files'"):
        load_dataset(tmp_path / "d")


@pytest.mark.parametrize("start", [0, 1, 1023, 1024, 2999, 3000])
def test_arrow_files_of_both_kinds_stream_from_any_row(tmp_path: Path, start: int) -> None:
    table = pa.table({"text": [f"text {row}" for row in range(3000)]})
    pyarrow.feather.write_feather(table, tmp_path / "a.feather", chunksize=700)
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=700)
    for name in ("a.feather", "a.arrow"):
        rows = list(read_rows(tmp_path / name, start=start))
        assert len(rows) == 3000 - start and rows[:1] == [(start, {"text": f"text {start}"})][: len(rows)]


def test_arrow_files_that_are_none(write: Write) -> None:
    for content in (b"nonsense", b"ARROW1\0\0nonsense", b""):
        with pytest.raises(DataError, match=r"a\.arrow (cannot be read as Arrow|is not an Arrow file)"):
            load_dataset(write("a.arrow", content))


def test_parquet_is_not_unpacked(write: Write, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "label": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="is parquet, compressed twice"):
        load_dataset(write("b.parquet.gz", gzip.compress((tmp_path / "a.parquet").read_bytes())))


def test_a_folder_for_each_label(write: Write) -> None:
    for label in ("pos", "neg"):
        for number in range(4):
            path = write(f"d/{label}/{number}.txt", f"{label} {number}\nand a line\n")
    folder = path.parent.parent
    dataset = load_dataset(folder, **WHOLE)
    assert dataset.labels == ("neg", "pos") and dataset.train.texts[0] == "neg 0\nand a line"
    assert dataset.train.where(5).endswith("pos, file 2")
    assert "a folder for each label: neg, pos" in dataset.notes
    write("d/pos/bad.txt", b"caf\xe9")
    with pytest.raises(DataError, match=r"bad\.txt is not UTF-8"):
        load_dataset(folder)


def test_a_folder_for_each_label_of_each_split(write: Write) -> None:
    for split in ("train", "test"):
        for label in ("pos", "neg"):
            path = write(f"d/{split}/{label}/0.txt", f"{split} {label}")
    write("d/train/unsup/0.txt", "no label")
    dataset = load_dataset(path.parents[2], validation_fraction=0)
    assert {name: split.texts for name, split in dataset.splits.items()} == {
        "train": ["train neg", "train pos"],
        "test": ["test neg", "test pos"],
    }


def test_a_folder_of_a_folder_of_data_names_the_inner_one(write: Write, reviews: Rows) -> None:
    inner = write("d/inner/train.jsonl", reviews).parent
    with pytest.raises(DataError, match="holds no data file") as error:
        load_dataset(inner.parent)
    assert f"give {inner}" in str(error.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_the_first_line_of_excel_names_the_delimiter(write: Write, end: str, name: str) -> None:
    path = write(name, end.join(["sep=;", "text;label", "one, two;x", "three;y", ""]))
    dataset = load_dataset(path, **WHOLE)
    assert dataset.train.texts == ["one, two", "three"] and dataset.train.where(0).endswith("line 3")
    assert any("separated by ';', as its first line says" in note for note in dataset.notes)
    with pytest.raises(DataError, match="line 5 has 1 field"):
        load_dataset(write(name, path.read_text() + "four\n"))


def test_commas_in_a_tsv_are_seen_and_noted(write: Write) -> None:
    dataset = load_dataset(write("a.tsv", "text,label\none,x\ntwo,y\n"), **WHOLE)
    assert dataset.train.texts == ["one", "two"] and "a.tsv: separated by ','" in dataset.notes


@pytest.mark.parametrize("orient", ["columns", "records", "index", "split", "table"])
def test_frames_as_json_in_every_form(tmp_path: Path, orient: Any) -> None:
    frame = pd.DataFrame({"review": ["a", "b", "c"], "stars": ["x", "y", "x"]}, index=[3, 5, 9])
    frame.to_json(tmp_path / "a.json", orient=orient)
    dataset = load_dataset(tmp_path / "a.json", **WHOLE)
    assert dataset.train.texts == ["a", "b", "c"] and dataset.labels == ("x", "y")


def test_a_frame_as_a_dict(reviews: Rows) -> None:
    columns = pd.DataFrame(reviews).to_dict()
    assert load_dataset(columns, **WHOLE).train.texts == [row["text"] for row in reviews]


def test_rows_under_a_key_are_read_and_noted(write: Write, reviews: Rows) -> None:
    dataset = load_dataset(write("a.json", json.dumps({"version": 1, "data": reviews})), **WHOLE)
    assert len(dataset.train) == 40 and "a.json: rows under the key 'data'" in dataset.notes


def test_a_document_that_unpacks_without_end_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.data.jsonlines.MAX_DOCUMENT", 1000)
    with pytest.raises(DataError, match="holds over 1,000 characters, and a JSON document is read whole"):
        load_dataset(write("a.json.gz", _packed(".gz", "[\n" + " \n" * 5000 + "]")))


def test_a_saved_data_set_gives_its_training_texts(tmp_path: Path) -> None:
    whole = _named_classes()
    datasets.DatasetDict(train=whole.select(range(15)), test=whole.select(range(15, 20))).save_to_disk(tmp_path / "d")
    assert load_texts(tmp_path / "d") == whole["text"][:15]


@pytest.mark.parametrize("name", ["train.csv.gz", "train.feather", "data/train.csv"])
def test_folders_of_texts_beside_a_file_of_rows_are_no_labels(tmp_path: Path, reviews: Rows, name: str) -> None:
    path = tmp_path / "d" / name
    path.parent.mkdir(parents=True)
    if path.suffix == ".feather":
        pyarrow.feather.write_feather(pa.Table.from_pylist(reviews), path)
    else:
        table = "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in reviews)
        path.write_bytes(gzip.compress(table.encode()) if path.suffix == ".gz" else table.encode())
    for folder in ("docs", "notes"):
        (tmp_path / "d" / folder).mkdir()
        (tmp_path / "d" / folder / "a.txt").write_text("no text of the data")
    assert load_dataset(tmp_path / "d", **WHOLE).train.texts == [row["text"] for row in reviews]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_column_that_python_cannot_hold_is_no_hindrance_where_nobody_reads_it(tmp_path: Path, name: str) -> None:
    late = pa.array([253402300800 * 10**6] * 4, pa.timestamp("us"))  # the year 10000
    table = pa.table({"text": ["a", "b", "c", "d"], "label": ["x", "y"] * 2, "when": late})
    if name == "a.parquet":
        pq.write_table(table, tmp_path / name)
    else:
        pyarrow.feather.write_feather(table, tmp_path / name)
    assert load_dataset(tmp_path / name, **WHOLE).train.texts == ["a", "b", "c", "d"]


def test_names_of_labels_beside_the_data_are_no_texts(write: Write) -> None:
    write("d/labels.txt", "joy\nanger\n")
    assert load_texts(write("d/more.txt", "one\ntwo\n").parent) == ["one", "two"]


def test_a_folder_that_cannot_be_read_is_no_hindrance_beside_the_data(
    write: Write, reviews: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write("d/train.jsonl", reviews).parent
    (folder / "lost+found").mkdir()
    (folder.parent / "e" / "lost+found").mkdir(parents=True)
    listed = Path.iterdir

    def iterdir(path: Path) -> Any:
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert len(load_dataset(folder, **WHOLE).train) == len(reviews)
    with pytest.raises(DataError, match="holds no data file"):
        load_dataset(folder.parent / "e")


def test_a_list_of_saved_files_of_another_shape_is_an_error_of_ours(write: Write) -> None:
    write("d/dataset_info.json", "{}")
    folder = write("d/state.json", json.dumps({"_data_files": ["data-00000-of-00001.arrow"]})).parent
    with pytest.raises(DataError, match=r"data-00000-of-00001\.arrow"):
        load_dataset(folder)


def test_integers_of_a_split_without_names_stand_for_those_of_train(tmp_path: Path) -> None:
    classes = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"]))
    rows = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]}
    datasets.Dataset.from_dict(rows, features=classes).to_parquet(tmp_path / "train.parquet")
    pq.write_table(pa.table({"text": ["e", "f"], "label": [1, 0]}), tmp_path / "test.parquet")
    dataset = load_dataset(tmp_path, validation_fraction=0)
    assert dataset.labels == ("neg", "pos") and not dataset.unseen
    assert dataset.test.labels is not None and dataset.test.labels.tolist() == [1, 0]
