"""How a student is trained: the one value that every step of its training takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from liteft.arms import ARMS, GENERAL_START, HEADED_START, OWN_START, Kind
from liteft.data import Dataset
from liteft.distillation.teachers import Teacher
from liteft.finetuning.context import RunContext
from liteft.form import ExportForm
from liteft.recipes import StudentRecipe

__all__ = ["StudentTraining"]


@dataclass(frozen=True)
class StudentTraining:
    """Everything that is settled before a student, or its control, is trained.

    Attributes:
        teacher: what the student imitates, and what it starts from. C1 and C0 do not ask it; that of C2 is C1.
        dataset: with the teacher's labels, in its order.
        recipe: the settings of all stages.
        context: of the run.
        form: what the last stage rounds to, if the recipe has one.
        kind: which arm is trained, see `liteft.arms`.
        encoder: folder of the encoder that it starts from; None for the teacher's layers.
        headed: this is a classifier, and its head is kept; otherwise the head is new.
    """

    teacher: Teacher
    dataset: Dataset
    recipe: StudentRecipe
    context: RunContext
    form: ExportForm
    kind: Kind = "student"
    encoder: Path | None = None
    headed: bool = False

    @property
    def is_control(self) -> bool:
        """Whether it is trained on labels alone, and the teacher's outputs are ignored."""
        return self.kind in ("control", "c0")

    @property
    def start(self) -> str:
        """What it starts from, in words."""
        if self.encoder is None:
            return ARMS[self.kind].start
        if self.recipe.general:
            return GENERAL_START
        return HEADED_START if self.headed else OWN_START
