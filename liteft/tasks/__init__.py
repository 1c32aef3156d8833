"""Tasks: what labels mean, and all that follows from it. One file each; `base` says what a task has to know.

Floor: above the metrics; numpy only, since what runs an artifact stands on it.
"""

from liteft.tasks.base import Answer, Task
from liteft.tasks.multi_label import MULTI_LABEL
from liteft.tasks.named import TASKS, TaskName, task_asked, task_named, task_of_labels
from liteft.tasks.single_label import SINGLE_LABEL

__all__ = [
    "MULTI_LABEL",
    "SINGLE_LABEL",
    "TASKS",
    "Answer",
    "Task",
    "TaskName",
    "task_asked",
    "task_named",
    "task_of_labels",
]
