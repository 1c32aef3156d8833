"""Data sets whose labels belong to words: how they are recognised and read, and what is done with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.config import make_recipe
from liteft.data import Dataset, check_dataset, load_dataset, load_texts, load_unlabeled
from liteft.data.columns import HEADER
from liteft.data.folds import folds_of_split
from liteft.data.pool import unlabeled_texts
from liteft.data.relabeling import meet_labels, relabeled
from liteft.errors import ConfigError, DataError
from liteft.ragged import Ragged

Write = Callable[..., Path]
Rows = list[dict[str, Any]]
ANN = {"tokens": ["Ann", "Lee", "left", "Rome"], "tags": ["B-PER", "I-PER", "O", "B-LOC"]}
NONE = {"tokens": ["Nothing", "here"], "tags": ["O", "O"]}
ROWS = [ANN, NONE]
NUMBERED = [{"tokens": ["Ann", "left"], "ner_tags": [1, 0]}, {"tokens": ["No"], "ner_tags": [0]}]
NAMES = ["O", "B-PER", "I-PER"]


def _load(source: Any, **settings: Any) -> Dataset:
    return load_dataset(source, **{"validation_fraction": 0, "test_fraction": 0} | settings)


def _tags(dataset: Dataset, split: str = "train") -> list[list[str]]:
    labels = dataset.split(split).labels
    assert isinstance(labels, Ragged) and labels.dtype == np.int64
    return [[dataset.labels[number] if number >= 0 else "?" for number in row.tolist()] for row in labels]


def _told(dataset: Dataset) -> str:
    return "\n".join(dataset.notes)


def _many(count: int = 40) -> Rows:
    """Texts that all differ, half of them with an entity of one of two types."""
    kinds = ["B-PER", "O", "B-LOC", "O"]
    return [{"tokens": [f"word{row}", "x"], "tags": [kinds[row % 4], "O"]} for row in range(count)]


# Reading


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize("task", ["tokens", None])
def test_words_and_tags_that_spaces_separate(write: Write, suffix: str, task: str | None) -> None:
    rows = [("Ann Lee left U.S. soil", "B-PER I-PER O B-LOC O"), ("Nothing here", "O O")]
    lines = [json.dumps({"text": text, "tags": tags}) for text, tags in rows]
    content = "\n".join(lines if suffix == "jsonl" else ["text,tags", *map(",".join, rows)])
    dataset = _load(write(f"data.{suffix}", content), task=task)
    assert dataset.task == "tokens" and _tags(dataset) == [tags.split() for _, tags in rows]
    assert dataset.train.words is not None and dataset.train.words.lengths.tolist() == [5, 2]
    assert "words and tags are what spaces separate" in _told(dataset)
    assert "1 of 7 words would be cut further in a plain text, such as 'U.S.'" in _told(dataset)


@pytest.mark.parametrize(("tags", "named"), [("O I-X I-X", False), ("S-X O S-X", False), ("DET NOUN VERB", True)])
def test_strings_of_tags_of_other_schemes(write: Write, tags: str, named: bool) -> None:
    path = write("a.csv", f"text,tags\nthe dog barks,{tags}\na cat sleeps,{tags}\n")
    dataset = _load(path, task="tokens", label="tags" if named else None)
    assert len(_tags(dataset)[0]) == 3 and "words and tags are what spaces separate" in _told(dataset)
    if named:
        assert _tags(dataset)[0] == tags.split()
        with pytest.raises(DataError, match="holds no words with tags"):
            _load(path, task="tokens")


def test_a_tag_too_few_among_strings_is_named(write: Write) -> None:
    rows = [("Ann left", "B-PER O"), ("Bob left", "B-PER O"), ("Eve left too", "B-PER O")]
    with pytest.raises(DataError, match="line 3: 2 tags for 3 words"):
        _load(write("a.jsonl", "\n".join(json.dumps({"text": text, "tags": tags}) for text, tags in rows)))


def test_a_row_of_strings_without_tags_is_one_without_a_label(write: Write) -> None:
    path = write("a.csv", "text,tags\nAnn left,B-PER O\nBob left,B-PER O\nEve left,\n")
    with pytest.raises(DataError, match="line 4: a row without a label"):
        _load(path)
    assert len(_load(path, drop_empty=True).train) == 2


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        (["Ann left,B-PER O", "Bob left,B-PER O"], {}),
        (["Ann left,B-PER O", "Bob left,B-PER O"], {"task": "tokens"}),
        (["Ann,B-PER", "Bob left,B-PER O"], {"task": "tokens"}),
        (["a dog,DET NOUN", "a cat,DET NOUN", "the cat,DET NOUN"], {"task": "tokens", "label": "DET NOUN"}),
    ],
)
def test_strings_of_tags_without_a_header_are_refused(write: Write, rows: list[str], settings: dict[str, str]) -> None:
    with pytest.raises(DataError, match="the first one is a text and its tags") as caught:
        _load(write("a.csv", "\n".join(rows)), **settings)
    assert HEADER in str(caught.value)


@pytest.mark.parametrize("task", ["tokens", None])
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_rows_of_two_forms_are_told_by_their_columns(write: Write, task: str | None, suffix: str) -> None:
    rows = [ANN, {"text": "Ann left", "spans": [[0, 3, "PER"]]}, NONE, {"text": "Eve left", "spans": [[0, 3, "PER"]]}]
    path = write(f"a.{suffix}", "\n".join(map(json.dumps, rows)) if suffix == "jsonl" else json.dumps(rows))
    with pytest.raises(DataError, match="2, 4: 2 of 4 rows have no column 'tokens', which the others have") as caught:
        _load(path, task=task)
    assert caught.value.accepted == {"their columns": "text, spans"}
    assert len(_load(path, task=task, drop_empty=True).train) == 2


@pytest.mark.parametrize("cell", ["['B-PER', 'O']", '["B-PER", "O"]', "B-PER,O", "B-PER, O", "B-PER|O"])
@pytest.mark.parametrize("label", [None, "tags"])
def test_tags_in_strings_of_another_form_are_shown_beside_the_form_that_is_read(
    write: Write, cell: str, label: str | None
) -> None:
    quoted = cell.replace('"', '""')
    path = write("a.csv", f'text,tags\nAnn left,"{quoted}"\nBob left,"{quoted}"\n')
    with pytest.raises(DataError, match="holds no words with tags") as caught:
        _load(path, task="tokens", label=label)
    assert caught.value.accepted["a cell of 'tags'"] == cell
    assert "strings that spaces separate" in caught.value.accepted["words"]
    assert "write tags with a space between" in str(caught.value)


def test_tags_with_commas_between_are_told_where_they_are_read_as_classes() -> None:
    rows = [{"text": f"Ann left {row}", "tags": "B-PER,O,O" if row % 2 else "O,O,O"} for row in range(20)]
    dataset = _load(rows)
    assert dataset.task == "single_label"
    assert any("'tags' looks like tags of words with commas between" in note for note in dataset.notes)


def test_words_are_joined_by_spaces_and_tags_are_ordered() -> None:
    dataset = _load(ROWS)
    assert dataset.task == "tokens" and dataset.labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert dataset.train.texts == ["Ann Lee left Rome", "Nothing here"]
    assert dataset.train.words is not None and dataset.train.words.dtype == np.int32
    assert dataset.train.words[0].tolist() == [[0, 3], [4, 7], [8, 12], [13, 17]]
    assert _tags(dataset) == [ANN["tags"], NONE["tags"]] and dataset.train.marked is None
    assert "columns guessed by name: text = 'tokens', label = 'tags'" in _told(dataset)


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        ("tokens", "tags"),
        ("words", "labels"),
        ("tokens", "ner_tags"),
        ("words", "upos"),
        ("text", "label"),
        ("sentence", "odd"),
    ],
)
def test_the_usual_names_of_columns(words: str, tags: str) -> None:
    rows = [{"id": n, words: row["tokens"], tags: row["tags"]} for n, row in enumerate(ROWS)]
    assert _tags(_load(rows)) == [ANN["tags"], NONE["tags"]]


def test_entities_are_preferred_to_parts_of_speech_unless_these_are_named() -> None:
    rows = [{"tokens": ["Ann", "left"], "pos_tags": ["PROPN", "VERB"], "ner_tags": ["B-PER", "O"]}] * 2
    assert _load(rows).labels == ("O", "B-PER", "I-PER")
    assert _load(rows, label="pos_tags").labels == ("PROPN", "VERB")


def test_numbers_need_names(tmp_path: Path) -> None:
    dataset = _load(NUMBERED)
    assert dataset.labels == ("0", "1") and "label_names=['O', 'B-PER', 'I-PER'] names them" in _told(dataset)
    assert _tags(_load(NUMBERED, label_names=NAMES)) == [["B-PER", "O"], ["O"]]
    with pytest.raises(DataError, match="row 1: the tag of word 1 is 7, and there are 3 classes"):
        _load([{"tokens": ["a", "b"], "tags": [7, 0]}], label_names=NAMES)


@pytest.mark.parametrize("sequence", ["Sequence", "List"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_names_in_the_schema_of_a_file(tmp_path: Path, suffix: str, sequence: str) -> None:
    import json

    feature = {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": sequence}
    schema = {"huggingface": json.dumps({"info": {"features": {"ner_tags": feature}}})}
    table = pa.Table.from_pylist(NUMBERED).replace_schema_metadata(schema)
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    assert _tags(_load(path)) == [["B-PER", "O"], ["O"]]


def test_data_sets_of_the_hub_and_folders_of_save_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    tags = datasets.Sequence(datasets.ClassLabel(names=NAMES))
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("string")), "ner_tags": tags})
    made = datasets.Dataset.from_list(NUMBERED, features=features)
    assert _tags(_load(made)) == [["B-PER", "O"], ["O"]]
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "saved")
    assert _tags(_load(tmp_path / "saved"), "test") == [["B-PER", "O"], ["O"]]


def test_other_schemes_become_iob2_and_are_noted() -> None:
    rows = [{"tokens": ["a", "b", "c"], "tags": ["B-X", "E-X", "S-Y"]}, {"tokens": ["a"], "tags": ["O"]}]
    dataset = _load(rows)
    assert _tags(dataset)[0] == ["B-X", "I-X", "B-Y"] and "tags read as BIOES, and turned into IOB2" in _told(dataset)
    dataset = _load([{"tokens": ["a", "b"], "tags": ["I-X", "I-X"]}, {"tokens": ["a"], "tags": ["O"]}])
    assert _tags(dataset)[0] == ["B-X", "I-X"] and "tags read as IOB1" in _told(dataset)


def test_tags_that_are_not_legal_are_repaired_and_named_by_row() -> None:
    rows = [*_many(), {"tokens": ["a", "b"], "tags": ["O", "I-PER"]}, {"tokens": ["c"], "tags": ["I-LOC"]}]
    dataset = _load({"train": rows, "test": rows[-1:]})
    assert _tags(dataset)[-2:] == [["O", "B-PER"], ["B-LOC"]] and _tags(dataset, "test") == [["B-LOC"]]
    assert "train: tags of 2 texts are not legal IOB2" in _told(dataset)
    assert "(data['train'], rows 41, 42)" in _told(dataset) and "test: tags of 1 text are" in _told(dataset)


def test_a_tag_that_train_lacks_is_unseen() -> None:
    test = [{"tokens": ["x", "y"], "tags": ["B-NEW", "I-NEW"]}, ANN]
    dataset = _load({"train": ROWS, "test": test})
    assert _tags(dataset, "test") == [["?", "?"], ANN["tags"]]
    assert dataset.test.unseen_label is not None and dataset.test.unseen_label.tolist() == [True, False]
    assert dataset.unseen == {"test": {"NEW": 1}}
    assert any("NEW 1" in warning for warning in dataset.check.warnings)


def test_tests_without_tags_are_predicted_only() -> None:
    withheld = [{"tokens": ["a", "b"], "ner_tags": [-1, -1]}]
    dataset = _load({"train": NUMBERED, "test": withheld, "more": [{"tokens": ["c"]}]}, label_names=NAMES)
    assert dataset.test.labels is None and dataset.test.words is not None
    assert dataset.split("more").labels is None and dataset.split("more").texts == ["c"]


def test_rows_without_tags_or_words() -> None:
    rows = [*ROWS, {"tokens": ["a"], "tags": None}, {"tokens": [], "tags": []}]
    with pytest.raises(DataError, match="row 4: an empty text to train on"):
        _load(rows)
    with pytest.raises(DataError, match="row 3: a row without a label"):
        _load(rows[:3])
    dataset = _load({"train": rows, "test": [{"tokens": [], "tags": []}, ANN]}, drop_empty=True)
    assert len(dataset.train) == 2 and dataset.test.texts[0] == "" and _tags(dataset, "test")[0] == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "row 3: word 2 of 2 is empty"),
        ({"tokens": ["a", " \n"], "tags": ["O", "O"]}, "row 3: word 2 of 2 is empty"),
        ({"tokens": ["a", 7], "tags": ["O", "O"]}, "row 3: word 2 of 2 is 7, not a string"),
        ({"tokens": "a b", "tags": ["O", "O"]}, "row 3: the words are 'a b', not a list"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, "row 3: 1 tags for 2 words"),
        ({"tokens": ["a", "b"], "tags": "O O"}, "row 3: the tags are not a list"),
        ({"tokens": ["a", "b"], "tags": ["O", None]}, "row 3: word 2 of 2 has no tag"),
        ({"tokens": ["a", "b"], "tags": ["O", {}]}, "row 3: the tag of word 2 is an object"),
        ({"tokens": ["a", "b\0"], "tags": ["O", "O"]}, "row 3: the text holds a NUL"),
        ({"tokens": ["a", "\ud800"], "tags": ["O", "O"]}, "row 3: the text holds half a character"),
    ],
)
def test_rows_that_cannot_be_read_are_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _load([*ROWS, row], task="tokens")
    assert caught.value.accepted and caught.value.fix


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a b", "label": "x"}], "holds no words with tags"),
        ([{"tokens": ["a"], "tags": ["O"]}] * 2, "column 'tags' holds only the tag 'O'"),
        ([{"text": "a b", "spans": []}] * 2, "column 'spans' holds no spans"),
    ],
)
def test_nothing_to_learn(rows: Rows, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _load(rows, task="tokens")
    assert caught.value.accepted and caught.value.fix


@pytest.mark.parametrize("ignored", [-100, "-100", np.int64(-100)])
@pytest.mark.parametrize("settings", [{}, {"label_names": ["O", "B-PER"]}])
def test_the_mark_of_tokens_without_a_tag_is_no_tag(ignored: Any, settings: dict[str, Any]) -> None:
    rows = [{"tokens": ["a", "b"], "tags": [0, 1]}, {"tokens": ["[CLS]", "b"], "tags": [ignored, 1]}]
    with pytest.raises(DataError, match="row 2: the tag of word 1 is -100, the mark of training code"):
        _load(rows, task="tokens", **settings)


def test_columns_named_by_the_caller() -> None:
    rows = [{"a": row["tokens"], "b": row["tags"], "c": ["X"] * len(row["tokens"])} for row in ROWS]
    assert _tags(_load(rows, text="a", label="b")) == [ANN["tags"], NONE["tags"]]
    with pytest.raises(DataError, match="no column 'd'"):
        _load(rows, text="a", label="d", task="tokens")
    with pytest.raises(DataError, match="as text='c' and label='a' would have it"):
        _load([{"a": "x", "c": "y"}], text="c", label="a", task="tokens")
    for setting in ({"pair": "b"}, {"confidence": "b"}):
        with pytest.raises((DataError, ConfigError), match=r"pair names a column|confidences was named, and"):
            _load(rows, text="a", label="c", task="tokens", **setting)


@pytest.mark.parametrize("name", ["pair", "confidence"])
@pytest.mark.parametrize("task", [None, "tokens"])
def test_a_column_of_whole_texts_is_refused_by_its_name_though_the_task_is_not_named(
    name: str, task: str | None
) -> None:
    with pytest.raises((DataError, ConfigError)) as caught:
        _load(ROWS, task=task, **{name: "tags"})
    assert [hint.python for hint in caught.value.fix] == [f"leave out {name}"]


# Not mistaken for others


@pytest.mark.parametrize("names", ["message,intent", "text,stars", "utterance,topics"])
@pytest.mark.parametrize("named", [False, True])
def test_strings_of_tags_beside_a_label_of_the_whole_text_are_left_alone(write: Write, names: str, named: bool) -> None:
    lines = [f"play jazz {row},{'AB'[row % 2]},O B-genre O" for row in range(20)]
    path = write("a.csv", "\n".join([f"{names},slots", *lines]))
    dataset = load_dataset(path, text=names.split(",")[0] if named else None)
    assert dataset.task == "single_label" and dataset.labels == ("A", "B")
    assert "look like tags of words" in _told(dataset)
    assert _load(path, task="tokens").labels == ("O", "B-genre", "I-genre")


def test_strings_of_roles_have_their_predicate(write: Write) -> None:
    lines = ["text,tags,predicate", "Ann paid me,B-A0 O B-A1,1", "Bob left,B-A0 O,1"]
    dataset = _load(write("a.csv", "\n".join(lines)))
    assert dataset.train.marked is not None and dataset.train.marked.tolist() == [1, 1]


def test_a_text_with_a_class_keeps_its_class_and_a_note_names_the_tags() -> None:
    rows = [
        {"text": "Ann left", "label": "ab"[n % 2], "tokens": ["Ann", "left"], "tags": ["B-X", "O"]} for n in range(12)
    ]
    dataset = _load(rows)
    assert dataset.task == "single_label" and dataset.labels == ("a", "b")
    assert "the columns 'tokens' and 'tags' look like tags of words; task=\"tokens\" reads them" in _told(dataset)
    assert _load(rows, task="tokens").labels == ("O", "B-X", "I-X")
    assert _load(rows, label="tags").task == "tokens"
    spans = [
        {"text": "Ann left", "label": "ab"[n % 2], "spans": [{"start": 0, "end": 3, "label": "X"}]} for n in range(12)
    ]
    assert "the column 'spans' looks like spans" in _told(_load(spans))
    renamed = [{"message": row["text"], "label": row["label"], "spans": row["spans"]} for row in spans]
    assert _load(renamed, text="message").task == "single_label"


def test_pairs_and_labels_with_confidences_are_read_though_words_have_tags_beside_them() -> None:
    tagged = [{"id": n, "tokens": ["Ann", "left"], "tags": ["B-X", "O"], "label": "ab"[n % 2]} for n in range(12)]
    pairs = [{**row, "premise": f"Ann left {row['id']}", "hypothesis": "Ann is here"} for row in tagged]
    assert _load(pairs, pair="hypothesis").train.pairs == ["Ann is here"] * 12
    spans = [{"text": f"Ann {n}", "stars": n % 2, "sure": 0.9, "spans": [[0, 3, "X"]]} for n in range(12)]
    assert _load(spans, confidence="sure").labels == ("0", "1")


@pytest.mark.parametrize(
    ("rows", "task"),
    [
        ([{"text": "a b", "labels": ["x", "y"]}, {"text": "c d", "labels": ["x"]}], "multi_label"),
        ([{"text": "a b", "labels": {"x": 1, "y": 0}}, {"text": "c", "labels": {"x": 1, "y": 1}}], "multi_label"),
        ([{"text": "a b", "labels": [1, 0]}, {"text": "c d", "labels": [1, 1]}], "multi_label"),
        ([{"text": "a b", "label": {"x": 0.7, "y": 0.3}}, {"text": "c", "label": {"x": 0, "y": 1}}], "single_label"),
        ([{"text": "a", "label": "x"}, {"text": "c", "label": "y"}], "single_label"),
        ([{"text": "visit", "label": "B-2"}, {"text": "work", "label": "O"}], "single_label"),
    ],
)  # fmt: skip
def test_labels_of_whole_texts_stay_labels_of_whole_texts(rows: Rows, task: str) -> None:
    settings = {"label_names": "x,y"} if rows[0].get("labels") == [1, 0] else {}
    assert _load(rows, **settings).task == task


# Tags that are not as they should be


def test_an_odd_tag_is_named_with_its_place(write: Write) -> None:
    rows = [*ROWS, {"tokens": ["a", "b", "c"], "tags": ["O", "X", "X"]}]
    with pytest.raises(DataError, match=r"a.jsonl, line 3: the tag of word 2 is 'X' \(2 in train\)") as caught:
        _load(write("a.jsonl", rows))
    assert caught.value.accepted and "write O" in str(caught.value)
    with pytest.raises(DataError, match=r"is 'Y' .* as 1 other tag\."):
        _load([*ROWS, {"tokens": ["a", "b"], "tags": ["Y", "X"]}])


@pytest.mark.parametrize("spelt", ["b-P i-P o", "B_P I_P O", "b_P i_P O"])
def test_other_spellings_of_tags_are_read(spelt: str) -> None:
    rows = [{"tokens": ["a", "b", "c"], "tags": spelt.split()}] * 2
    dataset = _load({"train": rows, "test": [{"tokens": ["a"], "tags": [spelt.split()[0]]}]})
    assert _tags(dataset) == [["B-P", "I-P", "O"]] * 2 and _tags(dataset, "test") == [["B-P"]]
    assert f"train: tags such as {spelt.split()[0]!r} are read as 'B-P'" in _told(dataset)


def test_letters_behind_the_type_are_noted() -> None:
    dataset = _load([{"tokens": ["a", "b", "c"], "tags": ["PER-B", "PER-I", "O"]}] * 2)
    assert dataset.labels == ("O", "PER-B", "PER-I") and "write 'B-PER' for spans" in _told(dataset)


def test_a_split_in_another_scheme_than_train() -> None:
    ends = [{"tokens": ["a", "b", "c", "d"], "tags": ["B-PER", "E-PER", "O", "S-LOC"]}]
    dataset = _load({"train": ROWS, "validation": ends, "test": [ANN]})
    assert _tags(dataset, "validation") == [["B-PER", "I-PER", "O", "B-LOC"]] and _tags(dataset, "test") == [
        ANN["tags"]
    ]
    assert "validation: tags read as BIOES, unlike IOB2 of train" in _told(dataset)
    with pytest.raises(DataError, match=r"row 1: the tags, such as 'PER', are of another form") as caught:
        _load({"train": ROWS, "test": [{"tokens": ["a", "b"], "tags": ["PER", "O"]}]})
    assert caught.value.accepted and caught.value.fix
    with pytest.raises(DataError, match="are for spans, unlike those of train"):
        _load({"train": [{"tokens": ["a", "b"], "tags": ["X", "Y"]}], "test": ends})


# Semantic roles


def test_roles_of_which_some_have_prefixes_are_refused() -> None:
    rows = [{"tokens": ["a", "b", "c"], "predicate": 1, "tags": ["B-A0", "V", "A1"]}] * 2
    with pytest.raises(DataError, match=r"row 1: the tag of word 3 is 'A1' \(2 in train\)") as caught:
        _load(rows)
    assert caught.value.accepted and caught.value.fix


@pytest.mark.parametrize(("train", "test"), [("B-A0", "A0"), ("A0", "B-A0")])
def test_roles_with_prefixes_in_one_split_only(train: str, test: str) -> None:
    row = {"tokens": ["a", "b"], "predicate": 1}
    dataset = _load({"train": [{**row, "tags": [train, "V"]}] * 2, "test": [{**row, "tags": [test, "V"]}]})
    assert dataset.labels == ("O", "B-A0", "I-A0") and _tags(dataset, "test") == [["B-A0", "O"]]


@pytest.mark.parametrize("cell", [1, 1.0, "1", np.int64(1), np.float32(1)])
def test_numbers_of_predicates(cell: Any) -> None:
    row = {"tokens": ["a", "b"], "tags": ["B-A0", "V"]}
    none = [{**row, "predicate": missing} for missing in (None, float("nan"), -1)]
    dataset = _load({"train": [{**row, "predicate": cell}, *none], "test": [{**row, "predicate": cell}, *none]})
    for split in ("train", "test"):
        marked = dataset.split(split).marked
        assert marked is not None and marked.tolist() == [1]
        assert f"{split}: 3 rows without a predicate left out" in _told(dataset)


@pytest.mark.parametrize("cell", [2.7, "x", True, float("inf"), [1], {}])
def test_predicates_that_are_no_numbers(cell: Any) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["B-A0", "V"], "predicate": each} for each in (1, cell)]
    for order in (rows, rows[1:]):
        with pytest.raises(
            DataError, match=f"row {len(order)}: the predicate is .*, not the number of a word"
        ) as caught:
            _load(order)
        assert caught.value.accepted and caught.value.fix


@pytest.mark.parametrize("cell", [1, "1", {}])
def test_predicates_that_are_no_list(cell: Any) -> None:
    rows = [{"tokens": ["a", "b"], "predicates": each, "args": [["A0", "V"]]} for each in ([1.0], cell)]
    with pytest.raises(DataError, match=r"row 2: the predicates are .*, not a list") as caught:
        _load(rows)
    assert caught.value.accepted and caught.value.fix


def test_a_row_for_each_predicate(write: Write) -> None:
    rows = [{"tokens": ["Ann", "saw", "Bo", "leave"], "predicates": [[1, "see.01"], [3, "leave.01"]],
             "args": [["ARG0", "V", "_", "ARG1"], ["_", "", "ARG0", "V"]]},
            {"tokens": ["Oh"], "predicates": [], "args": []}]  # fmt: skip
    dataset = _load(write("a.jsonl", rows))
    assert dataset.train.texts == ["Ann saw Bo leave"] * 2
    assert dataset.train.marked is not None and dataset.train.marked.tolist() == [1, 3]
    assert _tags(dataset) == [["B-ARG0", "O", "O", "B-ARG1"], ["O", "O", "B-ARG0", "O"]]
    assert "train: a row for each of 2 predicates; 1 texts without one left out" in _told(dataset)
    assert "labels stand on single words, each a span" in _told(dataset)
    assert dataset.check.splits[0].duplicates == 0 and dataset.check.splits[0].contradictions == 0


def test_arguments_of_several_words() -> None:
    rows = [{"tokens": ["the", "old", "cat", "sat"], "predicates": [3], "args": [["A0", "A0", "A0", "V"]]}] * 2
    dataset = _load(rows)
    assert _tags(dataset)[0] == ["B-A0", "I-A0", "I-A0", "O"] and "runs of words" in _told(dataset)


def test_one_predicate_in_each_row() -> None:
    rows = [{"tokens": ["a", "b", "c"], "predicate": 1, "tags": ["B-A0", "B-V", "B-A1"]}] * 2
    dataset = _load(rows)
    assert _tags(dataset)[0] == ["B-A0", "O", "B-A1"] and dataset.train.marked is not None
    assert dataset.train.marked.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"predicates": [5], "args": [["_", "A0"]]}, "row 1: the predicate is word 5, and the text has 2 words"),
        ({"predicates": [0, 1], "args": [["_", "A0"]]}, "row 1: 2 predicates and 1 lists of their arguments"),
        ({"predicates": [0], "args": [["_"]]}, "row 1: 1 tags for 2 words"),
        ({"predicate": 2, "tags": ["O", "B-A0"]}, "row 1: the predicate is word 2, and the text has 2 words"),
    ],
)
def test_predicates_that_are_not_there(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _load([{"tokens": ["a", "b"], **row}], task="tokens")


def test_a_folder_without_training_texts_says_how_to_train_on_others(write: Write) -> None:
    write("set/dev.jsonl", _many())
    path = write("set/test.jsonl", [{**row, "tokens": ["other", *row["tokens"][1:]]} for row in _many()])
    with pytest.raises(DataError, match="no training split") as caught:
        load_dataset(path.parent)
    assert '"train": "' in str(caught.value) and "to train on dev.jsonl" in str(caught.value)
    dataset = load_dataset({"train": str(path.parent / "dev.jsonl"), "test": str(path)})
    assert dataset.task == "tokens" and len(dataset.test) == 40


# Everything that works on data sets


def test_missing_splits_are_drawn_by_the_types_in_a_text() -> None:
    dataset = load_dataset([*_many(80), *_many(8)], validation_fraction=0.2, test_fraction=0.2)
    counts = dataset.to_dict()["splits"]
    assert all(min(counts[name]["labels"].values()) >= 3 for name in ("train", "validation", "test"))
    assert not dataset.check.overlaps and dataset.made == ("validation", "test")


def test_counts_are_of_spans_and_of_words_with_other_tags() -> None:
    dataset = _load([*ROWS, {"tokens": ["Bo", "Cy"], "tags": ["B-PER", "B-PER"]}])
    assert dataset.to_dict()["splits"]["train"]["labels"] == {"LOC": 1, "PER": 3}
    assert "PER             3" in dataset.render()
    parts = [{"tokens": ["a", "b"], "tags": ["DET", "NOUN"]}, {"tokens": ["c"], "tags": ["NOUN"]}]
    assert _load(parts).to_dict()["splits"]["train"]["labels"] == {"DET": 1, "NOUN": 2}


def test_the_check_of_words() -> None:
    touching = {"tokens": ["Bo", "Cy"], "tags": ["B-PER", "B-PER"]}
    other = {"tokens": ["Bo", "Cy"], "tags": ["B-PER", "I-PER"]}
    dataset = _load({"train": [*ROWS, touching, touching, other], "test": [ANN]})
    check = check_dataset(dataset)
    train = check.splits[0]
    assert (train.words, train.touching, train.duplicates, train.contradictions) == (12, 2, 2, 3)
    assert train.outside == pytest.approx(3 / 12) and train.lengths.unit == "words" and train.lengths.max == 4
    text = check.render()
    assert "train: 7 spans in 12 words, 25.0% of them outside; 2 begin right behind another" in text
    assert "1 row of test (100.0%) with texts that train also contains" in text
    assert "LOC 1" in text and check.to_dict()["splits"][0]["words"] == 12


def test_words_count_for_the_fingerprint() -> None:
    one = _load([{"tokens": ["a b", "c"], "tags": ["B-X", "O"]}, NONE])
    other = _load([{"tokens": ["a", "b c"], "tags": ["B-X", "O"]}, NONE])
    assert one.train.texts == other.train.texts and one.fingerprint != other.fingerprint


def test_folds_have_all_types() -> None:
    dataset = _load(_many(80))
    folds = folds_of_split(dataset.train, dataset.task, dataset.labels, 4, seed=0)
    assert np.bincount(folds).tolist() == [20] * 4
    for fold in range(4):
        labels = dataset.train.take(folds == fold).labels
        assert isinstance(labels, Ragged) and set(labels.values.tolist()) == {0, 1, 3}


def test_tags_in_another_order() -> None:
    dataset = _load(ROWS)
    names = ("B-PER", "I-PER", "O", "X")
    moved = relabeled(dataset.train, names)
    assert isinstance(moved.labels, Ragged) and moved.labels[0].tolist() == [0, 1, 2, -1]
    met, notes = meet_labels(dataset.train, names, own=True)
    assert met.label_names == names and len(notes) <= 1


def test_unlabelled_texts_have_words(write: Write) -> None:
    given = load_unlabeled(write("a.jsonl", [{"tokens": ["can't", "stop"]}]), words=True)
    assert given.texts == ["can't stop"] and given.words is not None and len(given.words[0]) == 2
    found = load_unlabeled(["can't stop", ""], words=True)
    assert found.texts == ["can't stop"] and found.words is not None and len(found.words[0]) == 4
    both = write("b.jsonl", [{"text": "can't", "tokens": ["can't"]}])
    assert len(load_unlabeled(both, words=True).words[0]) == 1  # type: ignore[index]
    assert load_unlabeled(both).words is None
    assert load_texts(write("c.conll", "can't O\nstop O\n")) == ["can't stop"]


def test_the_pool_of_a_recipe_has_words_and_none_of_the_scored_texts(write: Write) -> None:
    dataset = _load({"train": _many(), "test": [ANN]})
    pool = write("pool.txt", "Ann Lee left Rome\nSome other text, really.\n")
    recipe = make_recipe({"student": {"unlabeled": str(pool)}})
    found = unlabeled_texts(dataset, recipe)
    assert found is not None and found.texts == ["Some other text, really."]
    assert found.words is not None and found.words.lengths.tolist() == [6]


def test_the_pool_of_predicates_needs_predicates(write: Write) -> None:
    rows = [
        {"tokens": ["a", "b"], "predicate": 0, "tags": ["O", "B-A0"]},
        {"tokens": ["c", "d"], "predicate": 0, "tags": ["O", "O"]},
    ]
    dataset = _load(rows)
    recipe = make_recipe({"student": {"unlabeled": str(write("pool.txt", "some text\n"))}})
    with pytest.raises(DataError, match="about a predicate"):
        unlabeled_texts(dataset, recipe)
    marked = write("pool.jsonl", [{"tokens": ["e", "f", "g"], "predicate": 2}])
    found = unlabeled_texts(dataset, make_recipe({"student": {"unlabeled": str(marked)}}))
    assert found is not None and found.marked is not None and found.marked.tolist() == [2]


# Real data sets


@pytest.mark.parametrize(
    ("name", "rows", "spans"),
    [
        ("conll2003", (14_041, 3_250, 3_453), {"LOC": 1_668, "MISC": 702, "ORG": 1_661, "PER": 1_617}),
        ("snips", (13_084, 700, 700), None),
    ],
)
def test_real_words(data_root: Path, name: str, rows: tuple[int, ...], spans: dict[str, int] | None) -> None:
    dataset = load_dataset(data_root / name, task="tokens")
    assert tuple(len(dataset.split(split)) for split in ("train", "validation", "test")) == rows
    counts = dataset.to_dict()["splits"]["test"]["labels"]
    assert counts == spans if spans else len(counts) == 39
    assert check_dataset(dataset).render() and not dataset.unseen


def test_real_spans(data_root: Path) -> None:
    with pytest.raises(DataError, match=r"line 53: the span '13:00' \(28 to 33, time\) is not of whole words"):
        load_dataset(data_root / "restaurant8k_spans")
    dataset = load_dataset(data_root / "restaurant8k_spans", drop_empty=True)
    assert len(dataset.test) == 3_731 and dataset.labels[1::2] == (
        "B-date",
        "B-first_name",
        "B-last_name",
        "B-people",
        "B-time",
    )
    assert dataset.test.unseen_label is not None and dataset.test.unseen_label.sum() == 21


def test_real_roles(data_root: Path) -> None:
    root = data_root / "up_ewt_srl"
    dataset = load_dataset({"train": root / "dev.jsonl", "test": root / "test.jsonl"})
    assert len(dataset.test) == 4_886 and dataset.test.marked is not None and "labels stand on single" in _told(dataset)
    assert not any(label.endswith("-V") for label in dataset.labels)
    assert load_dataset({"train": root / "dev.jsonl"}, label="upos").labels[:2] == ("ADJ", "ADP")
    with pytest.raises(DataError, match="holds no training split"):
        load_dataset(root)
