"""What all steps of a run share, made once at its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainerCallback

from liteft.arguments import ProgressFunction
from liteft.finetuning.checkpoints import checkpoints_folder
from liteft.finetuning.own_functions import NO_FUNCTIONS, OwnFunctions

__all__ = ["RunContext", "training_processes"]

# Processes wait for the first while it exports or reads millions of texts. One that died is noticed by who started it.
_PATIENCE = timedelta(days=7)


def training_processes() -> PartialState:
    """Return the processes that train together, as torchrun or ``processes`` have started them; usually one.

    The first call joins them: over NCCL where there are GPUs, else over gloo.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)


@dataclass(frozen=True)
class RunContext:
    """Where a run writes, and where it reports progress.

    Attributes:
        out: its folder.
        progress: called with a line of text now and then; None for silence.
        callbacks: transformers callbacks for every training of the run.
        own: the user's own metrics and loss, for every training of the run.
    """

    out: Path
    progress: ProgressFunction | None = None
    callbacks: Sequence[TrainerCallback] = ()
    own: OwnFunctions = NO_FUNCTIONS

    def at(self, out: Path) -> RunContext:
        """Return the same for another folder."""
        return replace(self, out=out)

    @property
    def state(self) -> PartialState:
        """The processes that train together; the same in every step of the run."""
        return training_processes()

    @property
    def checkpoints(self) -> Path:
        """Where an unfinished run keeps its checkpoints."""
        return checkpoints_folder(self.out)

    @property
    def log(self) -> Path:
        """The log file of losses and metrics, JSON lines."""
        return self.out / "log.jsonl"

    def tell(self, line: str) -> None:
        """Report a line of progress."""
        if self.progress is not None:
            self.progress(line)
