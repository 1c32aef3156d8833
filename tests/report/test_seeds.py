"""Students, controls and the teacher over several seeds, from runs on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft import metrics
from liteft.errors import ConfigError, ModelError, RunError
from liteft.report import seeds_table
from liteft.run import RUN_FORMAT, Run, read_run
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task

TEXTS = 300
Make = Callable[..., Run]


def logits_of(right: np.ndarray, gold: np.ndarray, labels: int) -> np.ndarray:
    """Return logits that decide for the gold label where ``right`` says so, and for the next one elsewhere."""
    decided = np.where(right, gold, (gold + 1) % labels)
    return np.eye(labels, dtype=np.float32)[decided] * 4


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """A function that writes a finished run whose test texts are right at a given rate."""
    gold = np.random.default_rng(0).integers(0, 3, TEXTS)

    def make(kind: str, seed: int, share: float, *, task: Task = SINGLE_LABEL, **changes: Any) -> Run:
        path = tmp_path / f"{kind}-{seed}-{len(list(tmp_path.iterdir()))}"
        (path / "predictions").mkdir(parents=True)
        # which texts are hard is the same for all, so that runs are paired
        luck = np.random.default_rng(1).random(TEXTS) + 0.05 * np.random.default_rng(seed + 7).normal(size=TEXTS)
        logits, labels, unseen_label = logits_of(luck < share, gold, 3), gold, None
        if task.several:
            labels, logits = np.eye(3, dtype=bool)[gold], logits - 2
            unseen_label = np.arange(TEXTS) < 30
        stored = {"logits": logits, "labels": labels} | ({} if unseen_label is None else {"unseen_label": unseen_label})
        np.savez(path / "predictions" / "test.npz", **stored)
        scores = task.score(logits, labels, unseen_label=unseen_label)
        content = {
            "format": RUN_FORMAT,
            "kind": kind,
            "task": task,
            "labels": ["a", "b", "c"],
            "seed": seed,
            "weights_sha256": "1" * 64,
            "data": {"name": "mail", "fingerprint": "f" * 64},
            "metrics": {"test": {"n": TEXTS, **scores}},
        }
        (path / "run.json").write_text(json.dumps(content | changes), encoding="utf-8")
        return read_run(path)

    return make


def group(make: Make, kind: str, *shares: float, **fields: Any) -> list[Run]:
    return [make(kind, seed, share, **fields) for seed, share in enumerate(shares)]


def test_means_and_deviations_are_those_of_the_runs_metrics(make_run: Make) -> None:
    students = group(make_run, "student", 0.88, 0.9, 0.95)
    (row,) = seeds_table(students).rows
    accuracies = [run.metrics["test"]["accuracy"] for run in students]
    assert row.values["accuracy"] == tuple(accuracies)
    assert row.mean("accuracy") == pytest.approx(np.mean(accuracies))
    assert row.deviation("accuracy") == pytest.approx(np.std(accuracies, ddof=1))
    assert row.seeds == (0, 1, 2)


def test_differences_are_paired_intervals_over_seeds(make_run: Make) -> None:
    students, controls = (group(make_run, "student", 0.9, 0.91, 0.9), group(make_run, "control", 0.8, 0.81, 0.79))
    teachers = [make_run("teacher", 0, 0.93)]
    table = seeds_table([*students, *controls, *teachers])

    def right(runs: list[Run]) -> list[np.ndarray]:
        return [logits.argmax(axis=1) == gold for logits, gold in (run.predictions("test") for run in runs)]

    against_control, against_teacher = table.differences
    assert (against_control.kind, against_control.against) == ("student", "control")
    assert against_control.estimate == metrics.paired_interval_over_seeds(right(controls), right(students))
    assert against_teacher.estimate == metrics.paired_interval_over_seeds(right(teachers), right(students))
    means = {row.kind: row.mean("accuracy") for row in table.rows}
    assert against_control.estimate.value == pytest.approx(means["student"] - means["control"])
    assert against_teacher.estimate.value == pytest.approx(means["student"] - means["teacher"])


def test_a_clear_gain_excludes_zero_and_says_so(make_run: Make) -> None:
    table = seeds_table([*group(make_run, "student", 0.9, 0.91, 0.9), *group(make_run, "control", 0.75, 0.76, 0.75)])
    assert table.differences[0].estimate.low > 0
    assert " excludes zero" in table.render()
    assert "not" not in table.differences[0].verdict


def test_a_gain_within_chance_does_not_exclude_zero_and_says_so(make_run: Make) -> None:
    table = seeds_table([*group(make_run, "student", 0.9, 0.86, 0.88), *group(make_run, "control", 0.87, 0.9, 0.86)])
    low, high = table.differences[0].estimate.low, table.differences[0].estimate.high
    assert low < 0 < high
    assert "does not exclude zero" in table.render()
    assert table.to_dict()["differences"][0]["excludes_zero"] is False


def test_kinds_of_one_run_share_a_note(make_run: Make) -> None:
    runs = [*group(make_run, "student", 0.9), *group(make_run, "c0", 0.8), *group(make_run, "control", 0.8)]
    table = seeds_table(runs)
    (note,) = table.notes
    assert note.startswith("there is one student, one control (C1) and one C0")
    assert "Interval of the difference on the same texts; texts are samples." in table.render()
    more = seeds_table([*runs, make_run("student", 1, 0.9)])
    assert "Interval of the mean difference on the same texts; both seeds and texts are samples." in more.render()


def test_one_seed_has_no_deviation_and_a_note(make_run: Make) -> None:
    table = seeds_table([*group(make_run, "student", 0.9, 0.91), *group(make_run, "control", 0.8)])
    student, control = table.rows
    assert student.deviation("accuracy") is not None and control.deviation("accuracy") is None
    assert table.to_dict()["rows"][1]["metrics"]["accuracy"]["standard_deviation"] is None
    assert len(table.notes) == 1 and table.notes[0].startswith("there is one control")
    assert "Note: there is one control" in table.render()


def test_a_metric_that_a_run_could_not_form_is_in_no_column(make_run: Make) -> None:
    scores = {"n": TEXTS, "accuracy": 0.9, "macro_f1": None}
    text = seeds_table([make_run("student", 0, 0.9), make_run("student", 1, 0.9, metrics={"test": scores})]).render()
    assert "accuracy %" in text and "macro" not in text


def test_seeds_of_two_kinds_need_not_match(make_run: Make) -> None:
    controls = [make_run("control", seed, 0.8) for seed in (5, 6, 7, 8)]
    table = seeds_table([*group(make_run, "student", 0.9, 0.91), *controls])
    assert [row.seeds for row in table.rows] == [(0, 1), (5, 6, 7, 8)]


def test_both_forms_and_the_dictionary_hold_the_same_numbers(make_run: Make) -> None:
    table = seeds_table([*group(make_run, "student", 0.9, 0.95), *group(make_run, "control", 0.7, 0.72)])
    row, found = table.rows[0], table.differences[0].estimate
    spread = f"{100 * row.mean('accuracy'):.2f} ± {100 * (row.deviation('accuracy') or 0):.2f}"
    interval = f"[{100 * found.low:+.2f}, {100 * found.high:+.2f}]"
    for text in (table.render(), table.to_markdown()):
        assert text.startswith("mail test: 300 texts")
        assert spread in text and interval in text and f"{100 * found.value:+.2f}" in text
    assert "| student - control (C1) |" in table.to_markdown()
    content = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert content["rows"][0]["metrics"]["accuracy"]["mean"] == row.mean("accuracy")
    assert content["differences"][0]["interval"] == [found.low, found.high]
    assert str(table) == table.render()


def test_several_labels_a_text_are_compared_in_micro_f1(make_run: Make) -> None:
    students, controls = (
        group(make_run, "student", 0.9, 0.92, task=MULTI_LABEL),
        group(make_run, "control", 0.8, 0.81, task=MULTI_LABEL),
    )
    table = seeds_table([*students, *controls])
    means = {row.kind: row.mean("micro_f1") for row in table.rows}
    found = table.differences[0]
    assert found.metric == "micro_f1"
    assert found.estimate.value == pytest.approx(means["student"] - means["control"])
    assert found.estimate.low < found.estimate.value < found.estimate.high
    assert "micro F1 %" in table.render() and "points of micro F1" in table.render()


def test_rows_with_a_label_that_training_lacked_are_never_right(make_run: Make) -> None:
    run = make_run("student", 0, 1.5, task=MULTI_LABEL)  # every text right, but for the 30 foreign ones
    unseen_label = run.unseen_label("test")
    assert unseen_label is not None and unseen_label.sum() == 30
    other = make_run("control", 0, -1.0, task=MULTI_LABEL)
    table = seeds_table([run, other])
    reached = [one.metrics["test"]["micro_f1"] for one in (run, other)]
    assert reached[0] < 1 and table.differences[0].estimate.value == pytest.approx(reached[0] - reached[1])
    alone = make_run("student", 2, 1.5), make_run("control", 2, -1.0)
    assert seeds_table(alone).differences[0].estimate.value == pytest.approx(1.0)
    assert make_run("student", 1, 0.5).unseen_label("test") is None


def test_the_same_seed_twice_is_refused(make_run: Make) -> None:
    twice = [make_run("student", 3, 0.9), make_run("student", 3, 0.9)]
    with pytest.raises(ConfigError, match="2 runs of the kind student have the seed 3") as caught:
        seeds_table(twice)
    assert str(twice[0].path) in caught.value.accepted["the runs"]


def test_runs_of_different_data_are_refused(make_run: Make) -> None:
    other = make_run("control", 0, 0.8, data={"name": "mail", "fingerprint": "e" * 64})
    with pytest.raises(ModelError, match="different data") as caught:
        seeds_table([make_run("student", 0, 0.9), other])
    assert "single_label, mail eeeeeeeeeeee" in caught.value.accepted.values()


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no students"):
        seeds_table([])


def test_a_split_without_predictions_is_a_run_error(make_run: Make) -> None:
    with pytest.raises(RunError, match="predictions for split 'validation'") as caught:
        seeds_table([make_run("student", 0, 0.9)], split="validation")
    assert caught.value.accepted == {"splits": "test"}


def on_subsets(make: Make, kind: str, *shares: float) -> list[Run]:
    """Runs with one seed, on one subset of the labels each."""
    data = [{"name": "mail", "fingerprint": f"{number}" * 64} for number in range(len(shares))]
    return [make(kind, 0, share, data=one) for share, one in zip(shares, data, strict=True)]


def test_arms_are_compared_within_each_subset_of_the_labels(make_run: Make) -> None:
    students, controls = (
        on_subsets(make_run, "student", 0.9, 0.8, 0.7),
        on_subsets(make_run, "control", 0.87, 0.77, 0.67),
    )
    table = seeds_table([*students, *reversed(controls)], unit="subset")
    right = []
    for runs in (controls, students):
        predicted = [run.predictions("test") for run in runs]
        right.append([logits.argmax(axis=1) == gold for logits, gold in predicted])
    assert table.differences[0].estimate == metrics.paired_interval_over_subsets(*right)
    over_seeds = metrics.paired_interval_over_seeds(*right)
    assert table.differences[0].estimate.high < over_seeds.high  # easy subsets are easy for both
    assert "subsets" in table.render() and table.to_dict()["unit"] == "subset"


def test_a_kind_without_a_run_of_each_subset_is_refused(make_run: Make) -> None:
    students, controls = on_subsets(make_run, "student", 0.9, 0.8), on_subsets(make_run, "control", 0.9)
    with pytest.raises(ConfigError, match="kind control are not of the students' subsets"):
        seeds_table([*students, *controls], unit="subset")


def test_every_arm_says_what_it_starts_from_and_sees(make_run: Make) -> None:
    runs = [make_run(kind, 0, 0.9) for kind in ("c2", "teacher", "c0", "student", "control")]
    table = seeds_table(runs)
    assert [row.kind for row in table.rows] == ["student", "control", "c0", "c2", "teacher"]
    assert [found.against for found in table.differences] == ["control", "c0", "c2", "teacher"]
    text = table.render()
    assert "C0: starts from the base's layers, without a teacher, and a new head; sees labels." in text
    assert text.count("without a teacher") == 1


def test_a_student_below_an_arm_by_more_than_chance_is_warned_about(make_run: Make) -> None:
    worse = seeds_table([*group(make_run, "student", 0.7, 0.71), *group(make_run, "control", 0.9, 0.91)])
    (line,) = worse.warnings
    assert line.startswith("the student is worse than control (C1), by 17.8") and "points of accuracy on test" in line
    even = seeds_table([*group(make_run, "student", 0.9, 0.9), *group(make_run, "control", 0.9, 0.91)])
    better = seeds_table([*group(make_run, "student", 0.9, 0.91), *group(make_run, "control", 0.7, 0.71)])
    above = seeds_table([*group(make_run, "student", 0.7, 0.71), make_run("teacher", 0, 0.99)])
    assert even.warnings == better.warnings == above.warnings == ()
