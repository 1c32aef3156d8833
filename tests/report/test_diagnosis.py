"""Where a model is wrong: the numbers of each task, and pictures that show these numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import MAX_ANSWER, pack
from liteft.artifact import Artifact
from liteft.cli import main
from liteft.data import Dataset, Split
from liteft.errors import ConfigError, RunError
from liteft.ragged import Ragged
from liteft.report import compare, draw_diagnoses
from liteft.report.diagnosis import BINS, Confusion, diagnose
from liteft.report.diagnosis_pictures import diagnosis_figures
from liteft.report.result import Comparison
from liteft.tasks import ANSWERS, MULTI_LABEL, SINGLE_LABEL, task_named

NAMES = ("red", "green", "blue")


def single(gold: list[int], probabilities: list[list[float]], texts: list[str] | None = None) -> Any:
    split = Split("test", texts or ["some text"] * len(gold), None, np.array(gold))
    return diagnose(SINGLE_LABEL, np.log(np.array(probabilities, dtype=np.float32)), split, NAMES)


def test_reliability_counts_answers_by_confidence_and_its_gaps_are_the_calibration_error() -> None:
    found = single([0, 0, 1, 2], [[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.48, 0.32, 0.2], [0.1, 0.12, 0.78]]).reliability
    assert found.of == "texts"
    places = {13: (1, 0.9, 1.0), 7: (2, 0.49, 0.5), 11: (1, 0.78, 1.0)}  # of 15 bins
    for place in range(BINS):
        count, confidence, right = places.get(place, (0, np.nan, np.nan))
        assert found.counts[place] == count
        assert found.confidence[place] == pytest.approx(confidence, nan_ok=True)
        assert found.right[place] == pytest.approx(right, nan_ok=True)
    assert found.error == pytest.approx((0.1 + 2 * 0.01 + 0.22) / 4)


def test_confusion_of_one_label_a_text_names_the_most_frequent_mistakes() -> None:
    sure = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    found = single([0, 0, 0, 1, 2, 2, -1], [sure[each] for each in (0, 1, 1, 1, 0, 2, 2)]).confusion
    assert found.counts.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]  # the unknown label is in no row
    assert found.most_confused() == [("red", "green", 2), ("blue", "red", 1)]
    assert found.most_confused(1) == [("red", "green", 2)]


def test_of_several_labels_a_missed_one_stands_beside_the_wrong_ones_of_its_text() -> None:
    gold = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    decided = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=bool)
    split = Split("test", ["a text"] * 4, None, gold)
    found = diagnose(MULTI_LABEL, np.where(decided, 2.0, -2.0).astype(np.float32), split, NAMES)
    assert found.confusion is not None and found.reliability is not None
    assert found.confusion.names == (*NAMES, "(nothing)")
    assert found.confusion.counts.tolist() == [[1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert (found.reliability.of, int(found.reliability.counts.sum())) == ("labels of texts", 12)


def test_words_are_confused_by_type_and_measured_by_their_number() -> None:
    tags = ("O", "B-city", "I-city", "B-time")
    task = task_named("tokens").bound(tags)
    gold = Ragged(np.array([0, 1, 2, 3, 0, 0]), np.array([0, 4, 6]))
    decided = np.array([0, 3, 3, 3, 0, 1])
    logits = Ragged(np.eye(4, dtype=np.float32)[decided] * 5, gold.offsets)
    found = diagnose(task, logits, Split("test", ["a b c d", "e f"], None, gold), tags)
    assert found.confusion is not None and found.reliability is not None
    assert found.confusion.names == ("city", "time", "outside")
    assert found.confusion.counts.tolist() == [[0, 2, 0], [0, 1, 0], [1, 0, 2]]
    assert (found.by_length.unit, found.by_length.metric) == ("words", "f1")
    assert found.reliability.counts.sum() == 6


def test_answers_are_measured_by_the_length_of_their_contexts() -> None:
    contexts = ["one two three", "one two"]
    units = [
        *((0, 0, -1, -1, MAX_ANSWER), (5, 5, 0, 3, 1), (0, 0, 4, 7, 1), (0, 0, 8, 13, 1)),  # answers "one"
        *((9, 9, -1, -1, MAX_ANSWER), (0, 0, 0, 3, 1), (0, 0, 4, 7, 1)),  # answers nothing
    ]
    both = pack(*np.array(units, dtype=np.float32).T, np.array([0, 4, 7]))
    gold = AnswerLabels.found([[(0, 3)], [(0, 3)]], contexts)
    found = diagnose(ANSWERS, both, Split("test", ["what?", "who?"], contexts, gold), ("begin", "end"))
    assert found.reliability is None and found.confusion is not None
    assert found.confusion.counts.tolist() == [[1, 1], [0, 0]]
    assert (found.by_length.unit, found.by_length.edges.tolist()) == ("characters of the context", [7, 13])
    assert found.by_length.values.tolist() == [0.5]


def test_scores_are_shown_beside_the_true_ones() -> None:
    task = task_named("scores")
    gold = np.array([0.5, 1.0, np.nan])
    found = diagnose(
        task, np.array([[0.25], [1.5], [3.0]], dtype=np.float32), Split("test", ["a", "b", "c"], None, gold), ("score",)
    )
    assert found.scores is not None and found.confusion is None and found.reliability is None
    assert found.scores.true.tolist() == [0.5, 1.0]
    assert found.scores.predicted.tolist() == [0.25, 1.5]
    assert (found.by_length.metric, found.by_length.values.tolist()) == ("absolute_error", [0.375])


def test_bins_of_lengths_hold_about_as_many_texts_each() -> None:
    lengths = [*range(1, 101), *range(1, 101)]
    gold = [0] * 200
    right, wrong = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]
    found = single(gold, [right if length <= 50 else wrong for length in lengths], ["x" * each for each in lengths])
    part = found.by_length
    assert part.counts.sum() == 200
    assert (part.counts >= 20).all() and len(part.counts) == 8
    assert part.values[0] == 1.0 and part.values[-1] == 0.0
    low, high = part.intervals[0]
    assert low < 1.0 <= high
    assert single([0], [right], ["four"]).by_length.edges.tolist() == [4, 5]


def test_a_large_confusion_shows_the_labels_of_the_most_frequent_mistakes() -> None:
    counts = np.diag(np.full(40, 5))
    counts[30, 7], counts[3, 9] = 4, 2
    whole = Confusion("texts", tuple(f"label {number}" for number in range(40)), counts)
    part = whole.part(4)
    assert part.names == ("label 3", "label 7", "label 9", "label 30")
    assert part.counts.tolist() == [[5, 0, 2, 0], [0, 5, 0, 0], [0, 0, 5, 0], [0, 4, 0, 5]]
    assert whole.to_dict()["most_confused"] == [["label 30", "label 7", 4], ["label 3", "label 9", 2]]
    assert [30, 7, 4] in whole.to_dict()["cells"]


@pytest.fixture(scope="module")
def diagnosed(first: Artifact, second: Artifact, dataset: Dataset) -> Comparison:
    """Two artifacts, with where they are wrong."""
    return compare(first, second, on=dataset, rounds=0, threads=1, diagnose=True, floors=False)


def test_a_comparison_has_the_numbers_of_each_model(diagnosed: Comparison, pair: Comparison) -> None:
    for model, plain in zip(diagnosed.models, pair.models, strict=True):
        found = model.diagnosis
        assert found is not None and found.reliability is not None and found.confusion is not None
        assert found.reliability.error == model.scores["calibration_error"]
        assert np.trace(found.confusion.counts) / 200 == model.scores["accuracy"]
        means = np.average(found.by_length.values, weights=found.by_length.counts)
        assert means == pytest.approx(model.scores["accuracy"])
        assert plain.diagnosis is None and plain.to_dict()["diagnosis"] is None
    stored = json.loads(json.dumps(diagnosed.to_dict(), allow_nan=False))["models"][1]["diagnosis"]
    assert sum(stored["reliability"]["counts"]) == 200
    assert stored["confusion"]["names"] == list(diagnosed.models[1].subject.labels)


def test_pictures_show_the_numbers(diagnosed: Comparison, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    found = diagnosed.models[0].diagnosis
    assert found is not None and found.reliability is not None and found.confusion is not None
    figures = diagnosis_figures(found, "first")
    assert list(figures) == ["reliability", "confusion", "length"]
    line = figures["reliability"].axes[0].lines[1]
    full = found.reliability.counts > 0
    assert line.get_xdata().tolist() == found.reliability.confidence[full].tolist()
    assert line.get_ydata().tolist() == found.reliability.right[full].tolist()
    cells = {text.get_text() for text in figures["confusion"].axes[0].texts}
    assert cells == {str(count) for count in found.confusion.counts.ravel() if count}
    counts = [text.get_text() for text in figures["length"].axes[0].texts]
    assert counts == [str(count) for count in found.by_length.counts]
    drawn = draw_diagnoses(diagnosed, tmp_path / "wrong")
    assert [path.name for path in drawn] == [
        f"{name}-{kind}.png" for name in ("first", "second") for kind in ("reliability", "confusion", "length")
    ]
    assert drawn == draw_diagnoses(diagnosed, tmp_path / "wrong")  # its own files are replaced
    drawn[0].write_bytes(b"of somebody else")
    with pytest.raises(RunError, match="not drawn by LiteFT"):
        draw_diagnoses(diagnosed, tmp_path / "wrong")


def test_scores_are_drawn_too() -> None:
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    gold = np.array([0.5, 1.0])
    found = diagnose(
        task_named("scores"),
        np.array([[0.25], [1.5]], dtype=np.float32),
        Split("test", ["a", "b"], None, gold),
        ("score",),
    )
    (points,) = diagnosis_figures(found, "a model")["scores"].axes[0].collections
    assert points.get_offsets().tolist() == [[0.5, 0.25], [1.0, 1.5]]


def test_a_comparison_without_a_diagnosis_cannot_be_drawn(pair: Comparison, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compared without a diagnosis"):
        draw_diagnoses(pair, tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        draw_diagnoses(pair, tmp_path / "file")


def test_the_command_draws_into_a_folder(
    first: Artifact, dataset: Dataset, tmp_path: Path, capsys: Any, texts_of: Callable[..., list[str]]
) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    rows = zip(dataset.splits["test"].texts, dataset.splits["test"].labels, strict=True)  # type: ignore[arg-type]
    lines = [json.dumps({"text": text, "label": dataset.labels[int(gold)]}) for text, gold in rows]
    (tmp_path / "mail.jsonl").write_text("\n".join(lines))
    words = ["compare", str(first.path), "--on", str(tmp_path / "mail.jsonl"), "--split", "all", "--rounds", "0"]
    assert main([*words, "--no-floors", "--diagnose", str(tmp_path / "wrong"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["diagnosis"]["by_length"]["unit"] == "characters"
    assert sorted(path.name for path in (tmp_path / "wrong").iterdir()) == [
        f"first-{kind}.png" for kind in ("confusion", "length", "reliability")
    ]
