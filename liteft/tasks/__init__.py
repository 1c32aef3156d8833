"""Tasks: what labels mean, and everything that follows from it, in one file per task; `base` defines the interface.

It needs numpy only, since the code that runs artifacts depends on it.
"""

from liteft.tasks.answers import ANSWERS
from liteft.tasks.base import Answer, Task
from liteft.tasks.multi_label import MULTI_LABEL
from liteft.tasks.named import TASKS, TaskName, nearest_task, task_asked, task_named, task_of_labels
from liteft.tasks.scores import SCORES
from liteft.tasks.single_label import SINGLE_LABEL
from liteft.tasks.temperature import FEW_TO_TEST, FEWEST_TO_CALIBRATE, fit_temperature, rows_to_calibrate
from liteft.tasks.threshold import fit_threshold
from liteft.tasks.tokens import TOKENS

__all__ = [
    "ANSWERS",
    "FEWEST_TO_CALIBRATE",
    "FEW_TO_TEST",
    "MULTI_LABEL",
    "SCORES",
    "SINGLE_LABEL",
    "TASKS",
    "TOKENS",
    "Answer",
    "Task",
    "TaskName",
    "fit_temperature",
    "fit_threshold",
    "nearest_task",
    "rows_to_calibrate",
    "task_asked",
    "task_named",
    "task_of_labels",
]
