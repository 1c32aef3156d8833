"""The tasks by the names that recipes, manifests and models store."""

from __future__ import annotations

from typing import Any, Literal

from liteft.answer_labels import AnswerLabels
from liteft.errors import ConfigError, closest, option
from liteft.ragged import Ragged, Rows
from liteft.tasks.answers import ANSWERS
from liteft.tasks.base import Task
from liteft.tasks.multi_label import MULTI_LABEL
from liteft.tasks.scores import SCORES
from liteft.tasks.single_label import SINGLE_LABEL
from liteft.tasks.tokens import TOKENS

__all__ = ["TASKS", "TaskName", "nearest_task", "task_asked", "task_named", "task_of_labels"]

TaskName = Literal["single_label", "multi_label", "tokens", "scores", "answers"]
TASKS: dict[str, Task] = {task.name: task for task in (SINGLE_LABEL, MULTI_LABEL, TOKENS, SCORES, ANSWERS)}
_OTHER_NAMES = {
    "single_label": "classification text-classification sequence-classification sentiment-analysis multiclass "
    "multi-class single-label intent nli",
    "multi_label": "multi-label multilabel multi-label-classification",
    "tokens": "token token-classification ner pos slot slots slot-filling tagging sequence-labeling words spans srl",
    "scores": "score regression sts similarity semantic-similarity rerank reranker reranking ranking rating "
    "relevance cross-encoder",
    "answers": "answer qa squad question-answering extractive-qa questions",
}


def nearest_task(name: str) -> str | None:
    """Return the name of the task that is called otherwise elsewhere, or that looks alike; None if there is none."""
    folded = name.strip().casefold().replace("_", "-").replace(" ", "-")
    usual = next((task for task, names in _OTHER_NAMES.items() if folded in names.split()), None)
    return usual or closest(name, TASKS)


def task_named(name: Any) -> Task:
    """Return the task with a name; a task is returned unchanged.

    Raises:
        ConfigError: there is no task of that name.
    """
    found = name if isinstance(name, Task) else TASKS.get(name) if isinstance(name, str) else None
    if found is None:
        near = nearest_task(str(name))
        raise ConfigError(
            f"there is no task {name!r}.",
            accepted={"task": ", ".join(TASKS)},
            fix=option("task", near or next(iter(TASKS))),
        )
    return found


def task_asked(name: str | None) -> Task | None:
    """Return the task that a caller names, or None if the name is None. Raises ConfigError as `task_named` does."""
    return None if name is None else task_named(name)


def task_of_labels(labels: Rows) -> Task:
    """Return the task that a label array fits by its form, for a split made by hand, which names no task."""
    if isinstance(labels, Ragged):
        return ANSWERS if isinstance(labels, AnswerLabels) else TOKENS
    if labels.dtype.kind == "f":
        return SCORES
    return MULTI_LABEL if labels.ndim == 2 else SINGLE_LABEL
