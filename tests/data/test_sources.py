"""Sources: folders, files by split, objects in memory, hub names."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.data import load_dataset
from liteft.errors import DataError, MissingExtraError
from liteft.installation import install_hint

Write = Callable[..., Path]
Rows = list[dict[str, Any]]


@pytest.mark.parametrize("name", ["dev", "validation", "valid", "val", "Dev", "development"])
def test_a_folder_of_splits(write: Write, reviews: Rows, name: str) -> None:
    write("d/train.jsonl", reviews[:20])
    write(f"d/{name}.jsonl", reviews[20:30])
    folder = write("d/test.jsonl", reviews[30:]).parent
    dataset = load_dataset(folder)
    assert {split: len(rows) for split, rows in dataset.splits.items()} == {
        "train": 20,
        "validation": 10,
        "test": 10,
    }
    assert dataset.name == "d" and dataset.validation.texts == [row["text"] for row in reviews[20:30]]
    assert not any("made from" in note for note in dataset.notes)


def test_formats_may_differ_between_splits(write: Write, tmp_path: Path, reviews: Rows) -> None:
    write("train.csv", "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in reviews))
    write("dev.tsv", "label\ttext\npos\tfine\nneg\tbad\n")
    pq.write_table(pa.table({"text": ["x"], "label": ["pos"]}), tmp_path / "test.parquet")
    write("extra.json", json.dumps([{"text": "y", "label": "neg"}]))
    dataset = load_dataset(tmp_path)
    assert list(dataset.splits) == ["train", "validation", "test", "extra"]
    assert dataset.test.where(0).endswith("test.parquet, row 1")
    assert dataset.validation.where(1).endswith("dev.tsv, line 3")


def test_all_files_in_a_folder_of_a_splits_name_are_its_parts(write: Write, tmp_path: Path, reviews: Rows) -> None:
    write("train/old.csv", "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in reviews[:20]))
    write("train/to_label.jsonl", reviews[20:30])
    write("train/labels.json", '["neg", "pos"]')
    write("train/pool.txt", "a text without a label\n")
    write("val/one.jsonl", reviews[30:34])
    write("test.jsonl", reviews[34:])
    dataset = load_dataset(tmp_path)
    assert dataset.train.texts == [row["text"] for row in reviews[:30]]
    assert dataset.validation.texts == [row["text"] for row in reviews[30:34]]
    assert dataset.train.where(20).endswith("to_label.jsonl, line 1")
    assert "train is all files in train/: old.csv, to_label.jsonl" in dataset.notes
    assert "pool.txt left out: plain text has no labels" in dataset.notes
    write("dev.jsonl", reviews[30:34])
    with pytest.raises(DataError, match="holds 2 files for the split 'validation'") as error:
        load_dataset(tmp_path)
    assert error.value.accepted["files"] == "dev.jsonl, val/one.jsonl"


def test_other_files_are_extra_splits_and_never_trained_on(write: Write, reviews: Rows) -> None:
    write("oos_train.jsonl", [{"text": "no idea", "label": "oos"}])
    dataset = load_dataset(write("train.jsonl", reviews).parent)
    assert dataset.extras == ("oos_train",)
    assert dataset.labels == ("neg", "pos") and "no idea" not in dataset.train.texts
    assert dataset.unseen["oos_train"] == {"oos": 1}


def test_an_extra_without_labels_is_kept_and_one_without_texts_left_out(write: Write, reviews: Rows) -> None:
    write("pool.jsonl", [{"text": "one"}, {"text": "two"}])
    write("names.csv", "id,name\n0,neg\n")
    write("settings.json", '{"a": 1}')
    write("notes.txt", "hello")
    write("README.md", "# hello")
    dataset = load_dataset(write("train.jsonl", reviews).parent)
    assert dataset.extras == ("pool",) and dataset.split("pool").labels is None
    notes = "\n".join(dataset.notes)
    assert "names.csv left out: it has no column 'text'" in notes
    assert "settings.json left out" in notes
    assert "notes.txt left out: plain text has no labels" in notes


def test_a_broken_extra_is_an_error(write: Write, reviews: Rows) -> None:
    write("train.jsonl", reviews)
    with pytest.raises(DataError, match=r"extra\.jsonl, line 1 is not valid JSON"):
        load_dataset(write("extra.jsonl", "nonsense\n").parent)


def test_two_files_for_one_split(write: Write, reviews: Rows) -> None:
    write("train.jsonl", reviews)
    write("dev.jsonl", reviews)
    with pytest.raises(DataError, match="holds 2 files for the split 'validation'") as error:
        load_dataset(write("valid.csv", "text,label\n").parent)
    assert "dev.jsonl, valid.csv" in str(error.value)


def test_a_split_in_parts_is_joined_and_keeps_its_places(write: Write, reviews: Rows) -> None:
    for part in range(2):
        write(f"hub/data/train-{part:05}-of-00002.jsonl", reviews[part * 20 : part * 20 + 20])
    folder = write("hub/data/test-00000-of-00001.jsonl", reviews[:4]).parent.parent
    dataset = load_dataset(folder, validation_fraction=0)
    assert dataset.train.texts == [row["text"] for row in reviews]
    assert dataset.train.where(25).endswith("train-00001-of-00002.jsonl, line 6")


def test_a_folder_with_one_file_of_any_name(write: Write, reviews: Rows) -> None:
    folder = write("d/reviews.jsonl", reviews).parent
    assert {"train", "validation", "test"} == set(load_dataset(folder).splits)


def test_a_folder_without_a_training_split(write: Write, reviews: Rows) -> None:
    write("d/valid.jsonl", reviews)
    with pytest.raises(DataError, match="holds no training split"):
        load_dataset(write("d/test.jsonl", reviews).parent)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no data file"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("lacking", ["label", "text"])
def test_a_column_that_one_split_lacks(write: Write, reviews: Rows, lacking: str) -> None:
    write("train.jsonl", reviews)
    renamed = [{("body" if key == lacking else key): value for key, value in row.items()} for row in reviews]
    with pytest.raises(DataError, match=rf"dev\.jsonl has no column '{lacking}', which .*train\.jsonl has"):
        load_dataset(write("dev.jsonl", renamed).parent)


def test_plain_text_has_no_labels(write: Write) -> None:
    with pytest.raises(DataError, match=r"plain text, without labels") as error:
        load_dataset(write("a.txt", "one\ntwo\n"))
    assert "--unlabeled" in error.value.command_text()


def test_a_missing_path_gets_the_closest_name(write: Write, tmp_path: Path) -> None:
    write("reviews/train.csv", "text,label\n")
    for wrong in (tmp_path / "review", str(tmp_path / "review")):
        with pytest.raises(DataError, match=r"there is no file or folder .*review") as error:
            load_dataset(wrong)
        assert f"did you mean {tmp_path / 'reviews'}?" in str(error.value)


@pytest.mark.parametrize("source", ["x" * 5000, "one text, and no path", "a\0b", "", "/no/such/folder/a.csv"])
def test_what_cannot_be_a_path_is_no_crash(source: str) -> None:
    with pytest.raises(DataError, match="there is no file or folder") as error:
        load_dataset(source)
    assert len(str(error.value)) < 500


def test_a_dict_of_files_names_the_splits(write: Write, reviews: Rows) -> None:
    first, second = write("a.jsonl", reviews[:30]), write("b.jsonl", reviews[30:])
    dataset = load_dataset({"train": first, "dev": str(second)}, test_fraction=0)
    assert (len(dataset.train), len(dataset.validation)) == (30, 10)


@pytest.mark.parametrize("kind", ["rows", "tuples", "columns", "frame", "arrow", "hub"])
def test_objects_in_memory(reviews: Rows, kind: str) -> None:
    columns = {key: [row[key] for row in reviews] for key in ("text", "label")}
    sources: dict[str, Any] = {
        "rows": reviews,
        "tuples": [(row["text"], row["label"]) for row in reviews],
        "columns": columns,
        "frame": pd.DataFrame(reviews),
        "arrow": pa.table(columns),
        "hub": datasets.Dataset.from_dict(columns),
    }
    dataset = load_dataset(sources[kind], validation_fraction=0, test_fraction=0)
    assert dataset.train.texts == columns["text"]
    assert dataset.train.where(4) == "data, row 5"
    assert load_dataset(dataset) is dataset
    same = load_dataset({"train": sources[kind]}, validation_fraction=0, test_fraction=0)
    assert same.fingerprint == dataset.fingerprint


def test_frames_with_missing_values_dates_and_other_dtypes() -> None:
    frame = pd.DataFrame({"text": pd.array(["a", "b", None], dtype="string"), "label": [1.0, 0.0, None]})
    frame.index = pd.Index([5, 5, 7])
    with pytest.raises(DataError, match=r"data, row 3: (an empty text|a row without)"):
        load_dataset(frame, validation_fraction=0, test_fraction=0)
    dataset = load_dataset(frame, validation_fraction=0, test_fraction=0, drop_empty=True)
    assert (dataset.train.texts, dataset.labels) == (["a", "b"], ("0", "1"))
    frame["label"] = pd.Categorical(["x", "y", "x"])
    assert load_dataset(frame, validation_fraction=0, test_fraction=0, drop_empty=True).labels == ("x", "y")


def test_a_frame_with_two_columns_of_one_name() -> None:
    frame = pd.DataFrame([["a", "b", 1]], columns=["text", "text", "label"])
    with pytest.raises(DataError, match="has 2 columns 'text'"):
        load_dataset(frame)


def test_triples_are_pairs_with_a_label() -> None:
    rows = [(f"premise {row}", f"hypothesis {row}", row % 2) for row in range(10)]
    dataset = load_dataset(rows, validation_fraction=0, test_fraction=0)
    assert dataset.paired and dataset.train.pairs == [row[1] for row in rows]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "data is empty"),
        ({}, "data is empty"),
        ({"train": []}, r"data\['train'\] is empty"),
        (3, "data is of type int"),
        (["a", "b"], "row 1 is of type str; all rows must have the same type"),
        ([("a", 1), ("b", 1, 2)], "all rows must have the same type and width"),
        ([{"text": "a"}, ("b", 1)], "row 2 is of type tuple"),
        ({"text": ["a", "b"], "label": [1]}, "columns of different lengths"),
        ({"text": "ab", "label": [1, 2]}, "is of type str, which is not a column"),
        ({"train": 5}, "is of type int"),
        ({"train": [("a", 1)], "training": [("a", 1)]}, "two splits 'train'"),
    ],
)
def test_objects_that_are_no_data(source: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(source)


def test_texts_that_are_no_strings_are_named_by_row() -> None:
    with pytest.raises(DataError, match="data, row 2: the text is a number, 3"):
        load_dataset([("a", 1), (3, 0)])
    with pytest.raises(DataError, match=r"data, row 1: the text is a list\."):
        load_dataset({"text": [["a", "b"], ["c"]], "label": [0, 1]})


def _hub(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Any]:
    calls: list[Any] = []

    def load(path: str, config: str | None) -> Any:
        calls.append((path, config))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(datasets, "load_dataset", load)
    return calls


def test_a_hub_data_set_with_named_classes_and_withheld_test_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features({"sentence": datasets.Value("string"), "label": classes})

    def part(labels: list[int], name: str) -> datasets.Dataset:
        texts = [f"{name} {row}" for row in range(len(labels))]
        return datasets.Dataset.from_dict({"sentence": texts, "label": labels}, features=features)

    answer = datasets.DatasetDict(
        test=part([-1, -1], "test"), train=part([0, 1] * 10, "train"), validation=part([1, 0], "dev")
    )
    calls = _hub(monkeypatch, answer)
    dataset = load_dataset("nyu-mll/glue:sst2")
    assert calls == [("nyu-mll/glue", "sst2")]
    assert list(dataset.splits) == ["train", "validation", "test"]
    assert dataset.labels == ("neg", "pos") and dataset.test.labels is None
    assert dataset.validation.labels is not None and dataset.validation.labels.tolist() == [1, 0]
    assert dataset.name == "nyu-mll/glue:sst2"


def test_a_hub_data_set_with_several_named_classes_a_row() -> None:
    names = datasets.ClassLabel(names=["joy", "fear"])
    features = datasets.Features({"text": datasets.Value("string"), "labels": datasets.List(names)})
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "labels": [[0, 1], []]}, features=features)
    dataset = load_dataset(rows, validation_fraction=0, test_fraction=0)
    assert dataset.labels == ("fear", "joy") and dataset.task == "multi_label"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ConnectionError("Couldn't reach 'a/b' on the Hub (LocalEntryNotFoundError)"),
            "no network to look for it",
        ),
        (OSError("[Errno -2] Name or service not known: getaddrinfo failed"), "no network to look for it"),
        (
            ValueError("Config name is missing. Please pick one among: ['sst2']"),
            "the configuration is missing",
        ),
        (
            RuntimeError("Dataset 'a/b' doesn't exist or cannot be accessed"),
            "has no data set of that name",
        ),
    ],
)
def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    _hub(monkeypatch, error)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_DATASETS_OFFLINE", raising=False)
    with pytest.raises(DataError, match=message) as raised:
        load_dataset("a/b")
    assert "try: " in str(raised.value)


def test_no_network_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("liteft.data.hub._resolves", lambda host: False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(DataError, match="no network to look for it on the hub") as error:
        load_dataset("nobody/no-such-data-set", encoding="utf-8")
    assert "connect to the network" in str(error.value) and "give the folder" in str(error.value)


def test_a_name_that_resembles_a_file_here_is_asked_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("liteft.data.hub._resolves", lambda host: False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickets.csv").write_text("text,label\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="no network to look for it on the hub") as error:
        load_dataset("tickets")
    assert error.value.fix[0] == "did you mean tickets.csv?"


def test_a_hub_name_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=re.escape(install_hint("hub"))):
        load_dataset("nyu-mll/glue")
