"""Which tasks there are, by the names that recipes, manifests and models store."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from liteft.errors import ConfigError, closest, option
from liteft.tasks.base import Task
from liteft.tasks.multi_label import MULTI_LABEL
from liteft.tasks.single_label import SINGLE_LABEL

__all__ = ["TASKS", "TaskName", "task_asked", "task_named", "task_of_labels"]

TaskName = Literal["single_label", "multi_label"]
TASKS: dict[str, Task] = {task.name: task for task in (SINGLE_LABEL, MULTI_LABEL)}


def task_named(name: Any) -> Task:
    """Return the task of a name; a task is its own.

    Raises:
        ConfigError: there is none of that name.
    """
    found = TASKS.get(name) if isinstance(name, str) else None
    if found is None:
        near = closest(str(name), TASKS)
        raise ConfigError(
            f"there is no task {name!r}.",
            accepted={"task": ", ".join(TASKS)},
            fix=option("task", near or next(iter(TASKS))),
        )
    return found


def task_asked(name: str | None) -> Task | None:
    """Return the task that a caller names; None where nobody names one. Raises ConfigError as `task_named`."""
    return None if name is None else task_named(name)


def task_of_labels(labels: np.ndarray) -> Task:
    """Return the task whose label arrays look like this one: a split made by hand says it by no other means."""
    return MULTI_LABEL if labels.ndim == 2 else SINGLE_LABEL
