"""Labels with probabilities: in which forms they are read, what a row's label is, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, Split, check_dataset, load_dataset
from liteft.data.relabeling import relabeled
from liteft.errors import ConfigError, DataError

WHOLE: dict[str, Any] = {"validation_fraction": 0, "test_fraction": 0}
ONE = [{"joy": 0.7, "anger": 0.3}, {"joy": 0.1, "anger": 0.9}, {"joy": 1, "anger": 0}, {"anger": 1.0}]
WANTED = [[0.3, 0.7], [0.9, 0.1], [0, 1], [1, 0]]


def load(labels: list[Any], **settings: Any) -> Dataset:
    return load_dataset({"text": [f"text {row}" for row in range(len(labels))], "label": labels}, **WHOLE | settings)


@pytest.mark.parametrize("spell", [dict, json.dumps, lambda value: {"cats": value}])
def test_an_object_of_probabilities_is_learned_and_its_most_probable_name_is_the_label(
    spell: Callable[[Any], Any],
) -> None:
    dataset = load([spell(value) for value in ONE])
    assert (dataset.task, dataset.labels) == ("single_label", ("anger", "joy"))
    assert dataset.train.labels.tolist() == [1, 0, 1, 0]
    assert dataset.train.soft_labels.dtype == np.float32
    np.testing.assert_allclose(dataset.train.soft_labels, WANTED, atol=1e-6)


def test_columns_of_probabilities_are_read_from_csv(tmp_path: Path) -> None:
    file = tmp_path / "soft.csv"
    rows = [f"text {row},{value.get('joy', 0)},{value['anger']}" for row, value in enumerate(ONE)]
    file.write_text("\n".join(["text,joy,anger", *rows]) + "\n", encoding="utf-8")
    dataset = load_dataset(str(file), label="joy,anger", **WHOLE)
    np.testing.assert_allclose(dataset.train.soft_labels, WANTED, atol=1e-6)
    assert dataset.task == "single_label"


def test_several_labels_apply_where_their_probability_is_over_a_half() -> None:
    dataset = load([{"x": 0.9, "y": 0.6}, {"x": 0.2, "y": 0.5}, {"x": 0.8}], task="multi_label")
    assert dataset.train.labels.tolist() == [[True, True], [False, False], [True, False]]
    np.testing.assert_allclose(dataset.train.soft_labels, [[0.9, 0.6], [0.2, 0.5], [0.8, 0]], atol=1e-6)


def test_other_sums_than_one_are_asked_about() -> None:
    with pytest.raises(DataError, match=r"data, row 2: the probabilities of the labels sum to 1\.5") as error:
        load([{"x": 0.9, "y": 0.1}, {"x": 0.9, "y": 0.6}])
    assert 'task="multi_label"' in str(error.value)
    with pytest.raises(DataError, match=r"row 2: the probabilities of the labels sum to 1\.5"):
        load([{"x": 0.9, "y": 0.1}, {"x": 0.9, "y": 0.6}], task="single_label")


def test_smaller_sums_are_scaled_where_the_task_has_one_label_and_a_note_counts_them() -> None:
    dataset = load([{"x": 0.6, "y": 0.2}, {"x": 0.1, "y": 0.9}], task="single_label")  # all labels are named
    np.testing.assert_allclose(dataset.train.soft_labels, [[0.75, 0.25], [0.1, 0.9]], atol=1e-6)
    assert "train: 1 row with probabilities that sum to less than 1, scaled to 1" in dataset.notes


@pytest.mark.parametrize("value", [-0.1, 1.1, "much"])
def test_what_is_not_a_probability_is_refused_by_row(value: Any) -> None:
    with pytest.raises(DataError, match=r"data, row 2: the probability of 'x' is"):
        load([{"x": 0.9, "y": 0.1}, {"x": value, "y": 0.5}])


def test_objects_of_zeros_and_ones_have_no_probabilities() -> None:
    assert load([{"x": 1, "y": 0}, {"x": 0.0, "y": 1.0}]).train.soft_labels is None


def test_a_test_split_may_have_plain_labels() -> None:
    train = {"text": ["a", "b", "c", "d"], "label": ONE}
    dataset = load_dataset({"train": train, "test": {"text": ["e"], "label": ["joy"]}}, validation_fraction=0)
    assert dataset.test.soft_labels is None and dataset.test.labels.tolist() == [1]


def test_probabilities_stay_with_their_rows_and_labels() -> None:
    train = load(ONE).train
    assert train.take([2, 0]).soft_labels.tolist() == train.soft_labels[[2, 0]].tolist()
    other = relabeled(train, ("joy", "fear", "anger"))
    np.testing.assert_allclose(other.soft_labels[:, [2, 0]], train.soft_labels)
    assert not other.soft_labels[:, 1].any()
    many = [{"x": row / 40, "y": 1 - row / 40} for row in range(40)]
    parts = load(many, validation_fraction=0.2)
    for split in parts.splits.values():
        index = [int(text.split()[1]) for text in split.texts]
        np.testing.assert_allclose(split.soft_labels[:, 0], np.array(index) / 40, atol=1e-6)


def test_probabilities_are_part_of_the_fingerprint() -> None:
    assert load(ONE).fingerprint != load([{"joy": 0.8, "anger": 0.2}, *ONE[1:]]).fingerprint


def test_there_are_as_many_rows_of_probabilities_as_texts() -> None:
    with pytest.raises(DataError, match="a different number of soft_labels"):
        Split("train", ["a"], labels=np.array([0]), soft_labels=np.zeros((2, 2), dtype=np.float32))


def test_the_check_shows_how_sure_the_labels_are() -> None:
    found = check_dataset(load(ONE)).splits[0]
    assert found.confidence == pytest.approx(0.9) and found.uncertain == 0.25
    assert (
        "probabilities of train's labels: 0.90 on average; below 0.8 in 25.0% of the rows"
        in check_dataset(load(ONE)).render()
    )
    assert check_dataset(load(["x", "y"] * 2)).splits[0].confidence is None


SURE = {"label": ["joy", "anger", "fear", "joy"], "sure": ["0.8", "", 0.4, 1.0]}
SPREAD = [[0.1, 0.1, 0.8], [1, 0, 0], [0.3, 0.4, 0.3], [0, 0, 1]]


def table(**columns: list[Any]) -> dict[str, list[Any]]:
    return {"text": [f"text {row}" for row in range(4)], **SURE, **columns}


def test_a_confidence_is_the_labels_probability_and_the_others_share_the_rest() -> None:
    dataset = load_dataset(table(), confidence="sure", **WHOLE)
    assert (dataset.task, dataset.labels) == ("single_label", ("anger", "fear", "joy"))
    np.testing.assert_allclose(dataset.train.soft_labels, SPREAD, atol=1e-6)
    assert any("'sure'" in note for note in dataset.notes)


def test_a_row_keeps_its_label_where_others_are_more_probable() -> None:
    dataset = load_dataset(table(sure=[0.2, 0.3, 0.1, 0.2]), confidence="sure", **WHOLE)
    assert [dataset.labels[number] for number in dataset.train.labels] == SURE["label"]


def test_integers_with_names_have_confidences_of_their_names() -> None:
    datasets = pytest.importorskip("datasets")
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    features["sure"] = datasets.Value("float32")
    rows = {"text": [f"text {row}" for row in range(4)], "label": [0, 1, 1, 0], "sure": [0.5, 0.75, 1.0, None]}
    dataset = load_dataset(datasets.Dataset.from_dict(rows, datasets.Features(features)), confidence="sure", **WHOLE)
    assert dataset.labels == ("no", "yes")
    np.testing.assert_allclose(dataset.train.soft_labels, [[0.5, 0.5], [0.25, 0.75], [0, 1], [1, 0]], atol=1e-6)


@pytest.mark.parametrize("wrong", [0, 1.2, 85, "high", -0.5])
def test_a_confidence_that_is_not_a_probability_names_its_row(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"row 2: the confidence is"):
        load_dataset(table(sure=[0.8, wrong, 0.4, 1]), confidence="sure", **WHOLE)


@pytest.mark.parametrize(
    ("columns", "settings"),
    [
        ({}, {"task": "multi_label"}),
        ({}, {"label_separator": "|"}),
        ({}, {"label": ["label", "sure"]}),
        ({"label": [0, 1, 1, 0]}, {"label_names": ["no", "yes"]}),
    ],
)
def test_a_confidence_needs_one_label_per_text_by_its_name(columns: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a column of confidences was named"):
        load_dataset(table(**columns), confidence="sure", **WHOLE | settings)


def test_a_list_of_labels_with_a_confidence_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 1: the label is .*list.*, and has a confidence"):
        load_dataset(table(label=[["joy"], ["anger"], ["fear"], ["joy"]]), confidence="sure", **WHOLE)


@pytest.mark.parametrize("part", ["text", "label"])
def test_a_column_of_confidences_is_no_other_column(part: str) -> None:
    with pytest.raises(DataError, match=f"the column '{part}' was named for both the {part} and the confidence"):
        load_dataset(table(), confidence=part, **WHOLE)


def test_a_misspelt_column_of_confidences_is_named_with_the_nearest() -> None:
    with pytest.raises(DataError, match="has no column 'suret'") as error:
        load_dataset(table(), confidence="suret", **WHOLE)
    assert 'try: confidence="sure"' in str(error.value)


def test_a_split_without_confidences_is_sure(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label,sure\na,x,0.9\nb,y,0.6\nc,x,\nd,y,1\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("text,label\ne,x\nf,y\n", encoding="utf-8")
    dataset = load_dataset(tmp_path, confidence="sure", validation_fraction=0)
    np.testing.assert_allclose(dataset.train.soft_labels, [[0.9, 0.1], [0.4, 0.6], [1, 0], [0, 1]], atol=1e-6)
    assert dataset.splits["test"].soft_labels is None
    assert dataset.splits["test"].labels.tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["struct", "map"])
def test_objects_of_probabilities_are_read_from_parquet(kind: str, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    share = pa.float64()
    form = pa.map_(pa.string(), share) if kind == "map" else pa.struct([("joy", share), ("anger", share)])
    cells = [list(value.items()) if kind == "map" else value for value in ONE]
    texts = [f"text {row}" for row in range(len(ONE))]
    parquet.write_table(pa.table({"text": texts, "label": pa.array(cells, form)}), tmp_path / "soft.parquet")
    dataset = load_dataset(tmp_path / "soft.parquet", **WHOLE)
    assert dataset.labels == ("anger", "joy")
    np.testing.assert_allclose(dataset.train.soft_labels, WANTED, atol=1e-6)


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ([" joy", "anger ", " joy ", "anger"], ("anger", "joy")),
        ([0.0, 1.0, 1.0, 0.0], ("0", "1")),
        (["0.0", "1.0", "1.0", "0.0"], ("0", "1")),
    ],
)
@pytest.mark.parametrize("form", ["confidence", "object"])
def test_names_with_probabilities_are_the_names_of_labels_without(cells: Any, classes: Any, form: str) -> None:
    if form == "confidence":
        dataset = load_dataset(table(label=cells, sure=[0.7, None, 0.6, 1.0]), confidence="sure", **WHOLE)
    else:
        objects = [{str(cell): 0.7, "x" if number < 0 else str(cells[(number + 1) % 2]): 0.3}
                   for number, cell in zip((0, 1), cells[:2], strict=True)]  # fmt: skip
        dataset = load([*objects, *cells[2:]])
    assert dataset.labels == classes
    assert dataset.train.soft_labels.shape == (4, 2)
    assert (dataset.train.soft_labels.argmax(axis=1) == dataset.train.labels).all()


def test_probabilities_in_another_split_alone_are_read_as_labels(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label,sure\na,x,1\nb,y,\nc,x,1\nd,y,1\n", encoding="utf-8")
    (tmp_path / "dev.csv").write_text("text,label,sure\ne,x,0.8\nf,y,0.7\n", encoding="utf-8")
    dataset = load_dataset(tmp_path, confidence="sure", test_fraction=0)
    assert dataset.train.soft_labels is None
    assert dataset.validation.labels.tolist() == [0, 1]


def test_labels_that_a_map_does_not_name_share_what_it_leaves() -> None:
    dataset = load([{"x": 0.6}, {"x": 0.1, "y": 0.9}, {"x": 0.25, "z": 0.75}], task="single_label")
    np.testing.assert_allclose(dataset.train.soft_labels[0], [0.6, 0.2, 0.2], atol=1e-6)
    assert any("train: 1 row with probabilities that sum to less than 1; the labels" in note for note in dataset.notes)


def test_a_map_keeps_its_most_probable_name_where_it_leaves_more_to_others() -> None:
    dataset = load([{"x": 0.1}, {"x": 0.1, "y": 0.9}], task="single_label")
    assert dataset.train.labels.tolist() == [0, 1]
    assert "1 row of train whose label is less probable than another" in check_dataset(dataset).render()


def test_maps_in_pythons_form_are_read() -> None:
    np.testing.assert_allclose(load([str(value) for value in ONE]).train.soft_labels, WANTED, atol=1e-6)


@pytest.mark.parametrize(
    "broken",
    ['{"joy": 0.7', '"joy": 0.7}', '{"joy": NaN, "anger": 0.3}', "{'joy': {'anger': 0.3}}", "{joy: 0.7}", "{'joy': x}"],
)
@pytest.mark.parametrize("others", ["maps", "names"])
def test_a_text_that_looks_like_a_map_never_becomes_a_class(broken: str, others: str, tmp_path: Path) -> None:
    if others == "names" and not broken.startswith("{"):
        return  # a name may end with a brace
    rows = [json.dumps(value) for value in ONE] if others == "maps" else ["joy", "anger"] * 2
    file = tmp_path / "m.jsonl"
    lines = [json.dumps({"text": f"text {row}", "label": value}) for row, value in enumerate([*rows, broken])]
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=r"m\.jsonl, line 5: the label .*looks like a map") as error:
        load_dataset(file, **WHOLE)
    assert repr(broken) in str(error.value)


def test_a_map_of_zeros_and_ones_after_a_name_is_not_a_class() -> None:
    with pytest.raises(DataError, match="row 3: the label is an object"):
        load(["joy", "anger", '{"joy": 1, "anger": 0}', "joy"])


def test_the_check_averages_the_stated_labels_and_counts_those_below_another() -> None:
    check = check_dataset(load_dataset(table(sure=[0.1] * 4), confidence="sure", **WHOLE))
    assert check.splits[0].confidence == pytest.approx(0.1)
    assert "4 rows of train whose label is less probable than another" in check.render()
    assert any("a row is scored by its stated label" in note for note in check.notes)


def test_the_check_counts_ties() -> None:
    check = check_dataset(load([{"x": 0.5, "y": 0.5}, {"x": 0.1, "y": 0.9}]))
    assert "1 row of train with two or more equally probable labels" in check.render()


def test_a_column_without_a_confidence_is_noted() -> None:
    dataset = load_dataset(table(sure=["", None, "", ""]), confidence="sure", **WHOLE)
    assert any("'sure' holds no confidence below 1" in note for note in dataset.notes)


def test_maps_in_the_column_of_confidences_are_said_to_be_labels() -> None:
    with pytest.raises(DataError, match="the confidence is") as error:
        load_dataset(table(sure=['{"joy": 0.7, "anger": 0.3}'] * 4), confidence="sure", **WHOLE)
    assert 'label="sure"' in str(error.value)
