"""Callbacks that ranks import, since a callback of a test cannot be sent to another process."""

from __future__ import annotations

import os
import signal
from typing import Any

from transformers import TrainerCallback


class DyingAtStep(TrainerCallback):
    """Kills one rank at the end of a step, as the system does when memory runs out.

    Args:
        step: of the training.
        rank: the one that dies.
        stage: the name of the folder of checkpoints that is meant, if a run has several trainings.
    """

    def __init__(self, step: int, rank: int, stage: str = "") -> None:
        self.step, self.rank, self.stage = step, rank, stage

    def on_step_end(self, args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        here = args.output_dir.endswith(self.stage)
        if here and state.global_step == self.step and int(os.environ.get("RANK", "0")) == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)
