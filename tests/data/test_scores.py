"""Labels that are numbers: which cells they are read from, how splits are made of them, and what the check says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, Split, load_dataset
from liteft.errors import ConfigError, DataError


def _load(scores: list[Any], **settings: Any) -> Dataset:
    data = {"text": [f"text {row}" for row in range(len(scores))], "label": scores}
    return load_dataset(data, **{"task": "scores", "validation_fraction": 0, "test_fraction": 0} | settings)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([1, 2.5, -3], [1.0, 2.5, -3.0]),
        (["1", " 2.50 ", "-3e0"], [1.0, 2.5, -3.0]),
        ([True, False, np.float32(0.5)], [1.0, 0.0, 0.5]),
        ([0.1, 1 / 3, 1e29], [0.1, 1 / 3, 1e29]),
    ],
)
def test_numbers_are_read_as_they_are(given: list[Any], read: list[float]) -> None:
    dataset = _load(given)
    assert (dataset.task, dataset.labels) == ("scores", ("score",))
    labels = dataset.train.labels
    assert labels is not None and labels.dtype == np.float64 and labels.tolist() == read


@pytest.mark.parametrize("value", ["nan", "inf", float("inf"), "high", [1.0], {"a": 1}, "3,5"])
def test_what_is_no_finite_number_is_an_error_that_names_the_row(value: Any) -> None:
    with pytest.raises(DataError, match=r"row 2: the score is .*, which is not a finite number") as caught:
        _load([1.0, value, 2.0])
    assert ("write 3.5: a point, not a comma" in str(caught.value)) == (value == "3,5")


@pytest.mark.parametrize(
    ("value", "hints"),
    [
        ("1,000", ["write 1000, if commas separate thousands", "write 1.000: a point"]),
        ("-1,234,567.5", ["write -1234567.5, if commas separate thousands"]),
        ("0,125", ["write 0.125: a point"]),
        ("1,25", ["write 1.25: a point"]),
    ],
)
def test_commas_between_thousands_are_told_from_those_of_decimals(value: str, hints: list[str]) -> None:
    with pytest.raises(DataError, match="not a finite number") as caught:
        _load([1.0, value, 2.0])
    found = [line.removeprefix("  try: ") for line in str(caught.value).split("\n") if "write " in line]
    assert len(found) == len(hints) and all(map(str.startswith, found, hints))


def test_a_score_beyond_what_models_compute_with_is_an_error_that_names_the_row() -> None:
    with pytest.raises(DataError, match=r"row 2: the score is 1e\+99, too large for a model"):
        _load([1.0, 1e99, 2.0])


def test_the_check_warns_of_a_split_whose_scores_are_all_the_same() -> None:
    split = Split("validation", ["a", "b"], None, np.array([0.5, 0.5]))
    train = Split("train", ["c", "d"], None, np.array([0.0, 1.0]))
    found = Dataset("data", "scores", ("score",), {"train": train, "validation": split}).check.warnings
    assert [line for line in found if line.startswith("all scores of")] == [
        "all scores of validation are 0.5: correlations with them are 0 for any model"
    ]


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([0.0, 0.5, 1.0], "all scores of train lie from 0 to 1: learned through a sigmoid"),
        ([0.0, 0.5, 1e5], "scores of train go up to 100000, and not all lie from 0 to 1: learned by squared error"),
        ([-0.25, 0.5, 1.0], "scores of train go down to -0.25, and not all lie from 0 to 1: learned by squared error"),
    ],
)
def test_the_check_says_how_scores_are_learned_and_why(scores: list[float], told: str) -> None:
    lines = _load(scores).check.render().splitlines()
    assert next(line for line in lines if "learned" in line).strip().startswith(told)


def test_rows_without_a_score_are_an_error_or_left_out() -> None:
    with pytest.raises(DataError, match="rows 2, 3: 2 rows without a label"):
        _load([1.0, None, "", 2.0])
    assert len(_load([1.0, None, "", 2.0], drop_empty=True).train) == 2


def test_the_same_score_for_all_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="all rows have the same score, 3"):
        _load([3, 3.0, "3"])


@pytest.mark.parametrize("settings", [{"label_names": ["a", "b"]}, {"labels_per_class": 2}, {"confidence": "label"}])
def test_settings_for_names_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        _load([1.0, 2.0, 3.0], **settings)


@pytest.mark.parametrize("scores", [[0.5, 1.5] * 6, ["0.5", "1.5"] * 6])
def test_fractions_are_no_names_and_the_error_says_that_they_may_be_scores(scores: list[Any]) -> None:
    with pytest.raises(DataError, match="not a whole number") as caught:
        _load(scores, task=None)
    assert 'task="scores"' in str(caught.value) and "--task scores" in caught.value.command_text()


def test_a_column_of_scores_is_found_by_its_name() -> None:
    rows = [{"id": row, "sentence1": f"a {row}", "sentence2": f"b {row}", "score": row / 7} for row in range(30)]
    dataset = load_dataset(rows, task="scores")
    assert dataset.paired and dataset.task.activation == "none"
    assert any("label = 'score'" in note for note in dataset.notes)


@pytest.mark.parametrize(("settings", "told"), [
    ({}, True), ({"task": "single_label"}, False), ({"label": "grade"}, False), ({"label_names": "a,b,c"}, False),
])  # fmt: skip
def test_whole_numbers_in_a_column_of_scores_are_told_to_be_read_as_classes(settings: Any, told: bool) -> None:
    rows = [{"text": f"a {row}", "score": row % 3, "grade": f"{row % 2}"} for row in range(30)]
    if "label" not in settings:
        rows = [{name: row[name] for name in ("text", "score")} for row in rows]
    notes = load_dataset(rows, **settings).notes
    found = [note for note in notes if note.startswith("the column 'score' holds whole numbers, read as 3 classes")]
    assert len(found) == told and all("--task scores reads them as numbers" in note.command for note in found)


@pytest.mark.parametrize(("cells", "settings"), [
    (lambda row: [row % 3, 3], {}), (lambda row: f"{row % 3}|3", {"label_separator": "|"}),
    (lambda row: {"0": 0.3, "1": 0.7} if row % 2 else {"0": 1.0}, {}), (lambda row: row % 3, {"label_names": "1,2,3"}),
    (lambda row: "good" if row % 2 else "bad", {}),
])  # fmt: skip
def test_labels_that_cannot_be_scores_are_not_told_so(cells: Any, settings: dict[str, Any]) -> None:
    dataset = load_dataset([{"text": f"a {row}", "score": cells(row)} for row in range(30)], **settings)
    assert not any("whole numbers" in note for note in dataset.notes)


@pytest.mark.parametrize(("rows", "hint"), [
    ([{"query": f"q {row}", "text": f"t {row}", "score": row} for row in range(20)], "--task scores, if 'score' holds"),
    ([{"text": f"t {row}", "score": row} for row in range(20)], "--task scores, if the numbers are scores"),
    ([{"question": f"q {row}", "context": f"t {row}", "answer": f"t {row}", "answer_start": 0} for row in range(20)],
     "--task answers, if 'answer' holds parts of the contexts"),
])  # fmt: skip
def test_rows_of_other_tasks_are_refused_with_the_task(rows: list[dict[str, Any]], hint: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(rows)
    assert hint in caught.value.command_text()


def test_columns_of_0_and_1_beside_scores_keep_their_hints() -> None:
    rows = [{"text": f"t {row}", "score": row, "angry": row % 2, "happy": row % 3 // 2} for row in range(20)]
    with pytest.raises(DataError, match="2 hold only 0 and 1") as caught:
        load_dataset(rows)
    assert "--task scores" in caught.value.command_text() and "--label angry,happy" in caught.value.command_text()


def test_a_test_split_without_scores_is_predicted_and_not_scored() -> None:
    rows = {"text": [f"text {row}" for row in range(4)], "label": [0.0, 2.5, 3.0, 5.0]}
    data = {"train": rows, "test": {"text": ["x", "y"], "label": [-1.0, -1.0]}}
    assert load_dataset(data, task="scores", validation_fraction=0).test.labels is None


def test_made_splits_have_scores_of_all_sizes_and_queries_on_one_side() -> None:
    rows = [(f"query {row // 4}", f"candidate {row}", float(row % 4)) for row in range(400)]
    dataset = load_dataset(rows, task="scores", test_fraction=0)
    assert 32 <= len(dataset.validation) <= 48
    assert not {*dataset.train.texts} & {*dataset.validation.texts}
    single = _load([float(row**2) for row in range(200)], validation_fraction=0.1)
    labels = single.validation.labels
    assert labels is not None and len(labels) == 20
    assert np.quantile(labels, [0.25, 0.5, 0.75]) == pytest.approx([50**2, 100**2, 150**2], rel=0.35)


def test_the_check_shows_how_scores_are_distributed_and_texts_with_two_of_them() -> None:
    data = {"text": ["a b", "A  b", *(f"text {row}" for row in range(8))], "label": [1.0, 4.0, *range(8)]}
    dataset = load_dataset(data, task="scores", validation_fraction=0, test_fraction=0)
    train = dataset.check.splits[0]
    assert train.scores is not None and (train.scores.least, train.scores.largest) == (0.0, 7.0)
    assert train.contradictions == 2
    text = dataset.check.render()
    assert "scores in train: 0 to 7, median" in text and "whose text also has another score" in text
    assert dataset.to_dict()["splits"]["train"]["labels"] == {"score": 10}


def test_scores_are_part_of_the_fingerprint_to_their_last_digit() -> None:
    one, other = _load([0.25, 0.5]), _load([0.25, np.nextafter(0.5, 1)])
    assert one.fingerprint != other.fingerprint == _load([0.25, np.nextafter(0.5, 1)]).fingerprint


def test_a_split_made_by_hand_may_have_scores() -> None:
    split = Split("train", ["a", "b", "c"], None, np.array([0.0, 0.5, 1.0]))
    dataset = Dataset("made", "scores", ("score",), {"train": split})  # type: ignore[arg-type]
    assert dataset.task.activation == "sigmoid" and dataset.train.label_names == ("score",)
    with pytest.raises(DataError, match="one score for each text"):
        Split("train", ["a"], None, np.array([0.5]), label_names=("a", "b"))
