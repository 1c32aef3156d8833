"""A callback that workers import."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from transformers import TrainerCallback


class DyingOnce(TrainerCallback):
    """Kills the worker at the end of a step of the first training that comes so far, once.

    Args:
        step: of the training.
        mark: the file that says that it is done.
    """

    def __init__(self, step: int, mark: Path) -> None:
        self.step, self.mark = step, mark

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        if state.global_step == self.step:
            try:
                self.mark.touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)
