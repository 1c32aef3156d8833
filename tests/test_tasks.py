"""Tasks: what labels mean, and that nobody but them compares their names."""

from __future__ import annotations

import ast
import copy
import json
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from liteft.config import make_recipe
from liteft.errors import ConfigError
from liteft.metrics import paired_interval_over_seeds
from liteft.ragged import Ragged, Rows
from liteft.runtime import Prediction
from liteft.tasks import (
    MULTI_LABEL,
    SCORES,
    SINGLE_LABEL,
    TASKS,
    TOKENS,
    Task,
    TaskName,
    task_asked,
    task_named,
    task_of_labels,
)

ROOT = Path(__file__).parent.parent
NAMES = {*TASKS, *(task.problem_type for task in TASKS.values() if task.problem_type)}
CONSTANTS = ("SINGLE_LABEL", "MULTI_LABEL", "TOKENS", "SCORES", "ANSWERS")
WORDS = ("tokens", "scores", "answers")  # words of other meanings too: counted where a task is spoken of
INDEX = {"a": 0, "b": 1, "c": 2}
TASKS_OF_TEXTS = [task for task in TASKS.values() if not task.per_word and not task.extractive]
NAMED = [task.bound(tuple(INDEX)) for task in TASKS.values() if not task.extractive]
ALL = pytest.mark.parametrize("task", NAMED)
OF_NAMES = pytest.mark.parametrize("task", [task for task in NAMED if not task.numeric])
ROWS = {
    SINGLE_LABEL: [("b",), ("a",), ("x",)],
    MULTI_LABEL: [("a", "c"), (), ("b", "x")],
    TOKENS: [("b", "x", "a"), (), ("x",)],
    SCORES: [("2.5",), ("-1",), ()],
}


def random_logits(task: Task, texts: int, labels: int = 3, seed: int = 0) -> Rows:
    """Return logits of texts, or of their words."""
    generator = np.random.default_rng(seed)
    if not task.per_word:
        return generator.normal(size=(texts, 1 if task.numeric else labels))
    return Ragged.of([generator.normal(size=(count, labels)) for count in np.arange(texts) % 5], float, width=(labels,))


def plus(logits: Rows, more: Rows) -> Rows:
    return logits.like(logits.values + more.values) if isinstance(logits, Ragged) else logits + more


def comparisons(code: str) -> Iterator[int]:
    """Yield the lines of code that compare a task with a name, or look something up by one."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Compare):
            sides: list[ast.expr | None] = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            sides = [key for key in node.keys if isinstance(key, ast.Constant)]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        else:
            continue
        entries = [each for side in sides for each in (side.elts if isinstance(side, ast.Tuple | ast.List) else [side])]
        for each in entries:
            constant = isinstance(each, ast.Constant) and each.value in NAMES
            if not constant and not (isinstance(each, ast.Name) and each.id in CONSTANTS):
                continue
            if not any(word in ast.unparse(each).lower() for word in WORDS) or _speaks_of_tasks(node):
                yield each.lineno


def _speaks_of_tasks(node: ast.AST) -> bool:
    """Return whether a comparison says "task", or a key of a dict is a task that is no other word."""
    if not isinstance(node, ast.Dict):
        return "task" in ast.unparse(node)
    return any(isinstance(key, ast.Constant) and key.value in NAMES - {*WORDS} for key in node.keys)


def test_no_module_but_the_tasks_own_compares_a_task_with_a_name() -> None:
    files = [path for path in (ROOT / "liteft").rglob("*.py") if path.parent.name != "tasks"]
    found = [
        f"{path}:{line}" for path in [*files, *(ROOT / "bench").rglob("*.py")] for line in comparisons(path.read_text())
    ]
    assert len(files) > 100 and not found


@pytest.mark.parametrize(
    "code",
    [
        'task == "single_label"',
        'x = 1 if "multi_label" != run.task else 2',
        'task in ("single_label", "multi_label")',
        'if task == "tokens": pass',
        'if task == "answers": pass',
        'task in ("scores", "tokens")',
        "task is MULTI_LABEL",
        'config["problem_type"] == "multi_label_classification"',
        '{"single_label": 1}[task]',
        'task == "answers"',
        'match task:\n    case "multi_label":\n        pass',
    ],
)
def test_a_comparison_with_a_name_is_found(code: str) -> None:
    assert [*comparisons(code)]


def test_tasks_that_are_compared_with_each_other_are_no_such_comparison() -> None:
    assert not [*comparisons("first.task != other.task or task is None")]


def test_the_names_that_recipes_and_manifests_may_store_are_those_of_the_tasks() -> None:
    assert get_args(TaskName) == tuple(TASKS)


@ALL
def test_a_task_is_its_name_and_survives_copying_pickling_and_json(task: Task) -> None:
    assert task == task.name == str(task) == f"{task}" and task_named(task) is task
    for other in (copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert other == task and type(other) is type(task) and vars(other) == vars(task)
    assert task_named(json.loads(json.dumps(task))) is TASKS[task]


def test_a_name_that_no_task_has_is_refused_with_the_nearest() -> None:
    assert task_asked(None) is None
    with pytest.raises(ConfigError, match="there is no task 'multilabel'") as error:
        task_asked("multilabel")
    assert error.value.accepted == {"task": "single_label, multi_label, tokens, scores, answers"}


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("ner", "tokens"),
        ("POS", "tokens"),
        ("token_classification", "tokens"),
        ("slot", "tokens"),
        ("regression", "scores"),
        ("sts", "scores"),
        ("similarity", "scores"),
        ("rerank", "scores"),
        ("qa", "answers"),
        ("squad", "answers"),
        ("question answering", "answers"),
        ("classification", "single_label"),
        ("multilabel", "multi_label"),
    ],
)
def test_a_task_is_found_by_what_others_call_it(name: str, task: str) -> None:
    with pytest.raises(ConfigError, match="there is no task") as error:
        task_asked(name)
    assert f"--task {task}" in error.value.command_text()
    with pytest.raises(ConfigError, match="task must be one of") as error:
        make_recipe({"data": {"task": name}})
    assert error.value.fix == (f"did you mean {task!r}?",)


@ALL
def test_labels_go_from_names_to_an_array_and_back(task: Task) -> None:
    labels = task.encode_labels(ROWS[task], INDEX)
    assert labels.dtype == task.label_dtype and task_of_labels(labels) == task
    shown = {
        SINGLE_LABEL: [("b",), ("a",), ("(not in train)",)],
        MULTI_LABEL: [("a", "c"), (), ("b",)],
        TOKENS: [("b", "(not in train)", "a"), (), ("(not in train)",)],
        SCORES: [("2.5",), ("-1",), ("(unknown)",)],
    }
    assert [task.names_of(row, tuple(INDEX)) for row in labels] == shown[task]


@OF_NAMES
def test_what_a_label_array_shows_of_its_texts(task: Task) -> None:
    labels = task.encode_labels(ROWS[task], INDEX)
    assert task.counts(labels, 3).tolist() == ([1, 1, 1] if task == MULTI_LABEL else [1, 1, 0])
    assert task.known(labels).tolist() == [True, not task.per_word, task == MULTI_LABEL]
    assert task.bare(labels).tolist() == [False, task != SINGLE_LABEL, False]
    assert task.present(labels, 3).shape == (3, 3)
    assert task.present(labels, 3)[0].tolist() == [task != SINGLE_LABEL, task != MULTI_LABEL, task == MULTI_LABEL]
    empty = task.without_labels(2, 3, Ragged.of([[[0, 2]], []], int, width=(2,)))
    assert len(empty) == 2 and not task.present(empty, 3).any() and task_of_labels(empty) == task


@OF_NAMES
def test_a_label_array_of_other_labels_does_not_fit(task: Task) -> None:
    labels = task.encode_labels(ROWS[task], INDEX)
    count = task.label_count(labels)
    assert task.misfit(labels, count) == ""
    assert task.misfit(labels, count - 1) == ("columns for 3 labels" if task == MULTI_LABEL else "the label 1")


@OF_NAMES
def test_labels_that_move_keep_their_names_and_lost_ones_are_told(task: Task) -> None:
    labels = task.encode_labels([("c",), ("a",)], INDEX)
    moved, lost = task.relabel(labels, np.array([1, 0, -1]), 2)  # to b, a
    assert task.names_of(moved[1], ("b", "a")) == ("a",)
    assert task.known(moved).tolist() == [task == MULTI_LABEL, True]
    assert lost is None if task != MULTI_LABEL else lost is not None and lost.tolist() == [True, False]


@pytest.mark.parametrize("task", [task for task in TASKS_OF_TEXTS if not task.numeric])
def test_an_answer_fills_every_column(task: Task) -> None:
    answer = Prediction("b", 0.75, ("b",), (("b", 0.75), ("a", 0.25)), truncated=False, backend="native")
    assert task.cells(answer) == (["b", 0.75] if task is SINGLE_LABEL else [["b"], [0.75]])
    assert len(task.columns) == len(task.cells(answer))


def test_an_unknowing_guess_loses_the_logarithm_of_its_choices() -> None:
    assert SINGLE_LABEL.chance_loss(6) == pytest.approx(math.log(6))
    assert MULTI_LABEL.chance_loss(6) == pytest.approx(math.log(2))


@ALL
def test_metrics_and_intervals_are_those_that_the_task_names(task: Task) -> None:
    logits = random_logits(task, 50)
    labels = task.decide(plus(logits, random_logits(task, 50, seed=1)))
    assert set(task.score(logits, labels)) == set(task.metrics)
    assert set(task.intervals(logits, labels, resamples=20)) == set(task.headline_metrics)
    assert {task.primary_metric, task.text_metric} <= set(task.headline_metrics)
    if task.numeric:
        return
    assert task.score(logits, labels)[task.text_metric] == pytest.approx(task.correct(logits, labels).mean())


@ALL
@pytest.mark.parametrize("foreign", [False, True])
def test_the_mean_of_the_texts_contributions_is_the_primary_metric(task: Task, foreign: bool) -> None:
    task = task.bound(("a", "b", "c", "d"))
    logits = random_logits(task, 60, 4)
    labels = task.decide(plus(logits, random_logits(task, 60, 4, seed=1)))
    unseen_label = np.random.default_rng(0).random(60) < 0.2 if foreign else None
    parts = task.contributions(logits, labels, unseen_label=unseen_label)
    assert parts.shape == (60,) and parts.dtype == np.float64
    assert parts.mean() == pytest.approx(task.score(logits, labels, unseen_label=unseen_label)[task.primary_metric])


def test_an_interval_by_contributions_is_that_of_the_paired_bootstrap() -> None:
    generator = np.random.default_rng(1)
    first = generator.normal(size=(2_000, 6)) - 1
    second = first + 0.3 * generator.normal(size=first.shape)
    labels = MULTI_LABEL.decide(first + generator.normal(size=first.shape))
    parts = [MULTI_LABEL.contributions(logits, labels)[None] for logits in (first, second)]
    found = paired_interval_over_seeds(*parts)
    expected = MULTI_LABEL.primary_difference(first, second, labels)
    assert expected is not None
    assert (found.low, found.high) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))
    silent = np.full_like(first, -9.0)
    assert MULTI_LABEL.contributions(silent, np.zeros(first.shape, dtype=bool)).tolist() == [0.0] * 2_000


@pytest.mark.parametrize("shares", [(0.6, 0.3, 0.1), (0.34, 0.33, 0.33), (0.9, 0.1, 0.0)])
def test_answers_that_do_not_depend_on_the_text_are_blind(shares: tuple[float, ...]) -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice(3, p=shares, size=30_000)
    blind, reached = SINGLE_LABEL.blind(labels, 3), []
    for guessed in (shares, (1, 0, 0), (0.4, 0.3, 0.3), (0.8, 0.1, 0.1)):
        logits = np.eye(3)[generator.choice(3, p=guessed, size=len(labels))]
        scores = SINGLE_LABEL.score(logits, labels)
        reached.append(SINGLE_LABEL.balanced(scores))
        chance = scores["accuracy"] - SINGLE_LABEL.majority_share(labels)
        assert chance < 0.01 and SINGLE_LABEL.is_blind(scores | {"accuracy": scores["accuracy"] - 0.01}, labels, 3)
    assert max(reached) == pytest.approx(blind, abs=0.01)


@pytest.mark.parametrize("shares", [(0.95, 0.05), (0.4, 0.3, 0.0, 0.0), (0.1, 0.1, 0.02)])
def test_naming_the_same_labels_for_every_text_is_blind(shares: tuple[float, ...]) -> None:
    labels = np.random.default_rng(0).random((30_000, len(shares))) < shares
    for named in range(1, len(shares) + 1):  # the most frequent ones
        logits = np.tile(np.where(np.arange(len(shares)) < named, 1.0, -1.0), (len(labels), 1))
        scores = MULTI_LABEL.score(logits, labels)
        assert MULTI_LABEL.balanced(scores) <= MULTI_LABEL.blind(labels, len(shares)) + 1e-9
        assert MULTI_LABEL.is_blind(scores, labels, len(shares))
    assert MULTI_LABEL.blind(np.zeros((5, 2), dtype=bool), 2) == 0.0


def test_a_model_that_names_rare_labels_is_not_blind_though_fewer_texts_are_wholly_right() -> None:
    gold = np.zeros((100, 2), dtype=bool)
    gold[:8, 0] = gold[8:14, 1] = True  # for most texts the right answer is no label
    logits = np.where(gold, 2.0, -2.0)
    logits[20:40, 1] = 0.5  # found, among others
    scores = MULTI_LABEL.score(logits, gold)
    assert scores["exact_match"] < MULTI_LABEL.majority_share(gold) and not MULTI_LABEL.is_blind(scores, gold, 2)
    silent = MULTI_LABEL.score(np.full_like(logits, -2.0), gold)
    assert silent["exact_match"] > scores["exact_match"] and MULTI_LABEL.is_blind(silent, gold, 2)


@ALL
def test_a_paired_bootstrap_says_what_mcnemars_test_cannot(task: Task) -> None:
    logits = random_logits(task, 50)
    interval = task.primary_difference(logits, logits, task.decide(logits))
    if task.primary_metric == task.text_metric and not task.numeric:
        assert interval is None
    else:
        assert interval is not None and interval[0] < 0 < interval[1], "equal models, as far as 50 texts can tell"
