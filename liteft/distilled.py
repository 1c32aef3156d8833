"""What `liteft.distill` makes: teacher, students, their arms and artifact, and the text that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from liteft.artifact import Artifact
from liteft.cross_validated import CrossValidation
from liteft.data import Dataset
from liteft.floors import Floors
from liteft.picking import ToLabel
from liteft.pretraining import Pretrained
from liteft.report.seeds import SeedsTable, seeds_table
from liteft.report.verdict import run_not_better_than_floors
from liteft.results import Result
from liteft.run import Run, runs_table
from liteft.tasks import FEW_TO_TEST

__all__ = ["Distillation"]

_SPLITS = ("validation", "test")


@dataclass(frozen=True, repr=False)
class Distillation(Result):
    """What ``liteft.distill`` made.

    Attributes:
        teacher: its run; None if the teacher is a classifier from elsewhere.
        arms: kind ("student", "control", "c0", "c2") -> one run per seed; empty if distilling stopped after the
            teacher.
        artifact: of the first student; None if distilling stopped before it.
        dataset: what all of them were trained on.
        floors: simple models that were trained on the same labels; None without scikit-learn.
        folds: the cross-validation, if it was asked for.
        to_label: the unlabelled texts to label next; None without unlabelled texts.
        general: the encoder that all arms started from, distilled on general texts; None without.
    """

    teacher: Run | None
    arms: Mapping[str, tuple[Run, ...]]
    artifact: Artifact | None
    dataset: Dataset
    floors: Floors | None = None
    folds: CrossValidation | None = None
    to_label: ToLabel | None = None
    general: Pretrained | None = None

    def __repr__(self) -> str:
        made = [f"{len(runs)} {kind}" for kind, runs in self.arms.items()]
        return f"Distillation({self.dataset.name}: {', '.join(made) or 'teacher'}, {self.artifact!r})"

    @property
    def students(self) -> tuple[Run, ...]:
        """The students, one per seed; none if distilling stopped after the teacher."""
        return self.arms.get("student", ())

    @property
    def controls(self) -> tuple[Run, ...]:
        """The controls (C1), one per seed, or none."""
        return self.arms.get("control", ())

    @property
    def student(self) -> Run | None:
        """The first student, from which the artifact is made; None if there are no students."""
        return self.students[0] if self.students else None

    @property
    def control(self) -> Run | None:
        """The first student's control; None if there are no controls."""
        return self.controls[0] if self.controls else None

    @cached_property
    def seeds(self) -> SeedsTable | None:
        """Students beside their arms and their teacher; None for one student alone, or without labels.

        A teacher that was trained on other data has predictions of other texts, so it is left out: hours of training
        must not end in an error about it. Answers that were stored without their texts cannot be compared either.
        """
        students, teacher = self.students, self.teacher
        trained = [run for runs in self.arms.values() for run in runs]
        if len(trained) < 2:
            return None
        split = next((name for name in reversed(_SPLITS) if students[0].metrics.get(name)), None)
        if split is None or not all(run.tells_answers(split) for run in trained):
            return None
        same = teacher is not None and teacher.labels == students[0].labels and _data(teacher) == _data(students[0])
        return seeds_table([*trained, *((teacher,) if teacher is not None and same else ())], split=split)

    @cached_property
    def unbeaten(self) -> tuple[str, ...]:
        """A sentence for each split, test first, on which the first student does not beat the floors."""
        if self.student is None or self.floors is None:
            return ()
        splits = [name for name in reversed(_SPLITS) if name in self.floors.splits and name in self.student.metrics]
        found = (run_not_better_than_floors(self.student, self.floors, name) for name in splits)
        return tuple(line for line in found if line)

    @property
    def few_to_test(self) -> str:
        """A sentence that says how to test on all texts where the test split is small; "" otherwise."""
        split = self.dataset.splits.get("test")
        if self.student is None or self.folds is not None or split is None or len(split) >= FEW_TO_TEST:
            return ""
        return (
            f"{len(split)} test texts tell only large differences apart; with folds everything is "
            "trained once more for each of them, and each text to train on is tested once."
        )

    @property
    def uncompared(self) -> str:
        """A sentence that says why the arms are not compared, and what does it; "" if they are."""
        trained = [run for runs in self.arms.values() for run in runs]
        split = next((name for name in reversed(_SPLITS) if trained and trained[0].metrics.get(name)), None)
        if len(trained) < 2 or split is None or all(run.tells_answers(split) for run in trained):
            return ""
        return "the arms are not compared here: answers were stored without texts; a comparison on the data can."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know first: better arms, floors that are not beaten, too few test texts."""
        seeds = self.seeds
        return (
            *(() if self.folds is None else self.folds.warnings),
            *(line for line in (self.few_to_test, self.uncompared) if line),
            *self.unbeaten,
            *(() if seeds is None else (f"{line}." for line in seeds.warnings)),
        )

    def render(self) -> str:
        """Return the runs as a table, floors, what seeds and arms show, and the artifact with its verification.

        The first lines say where the student does not beat the floors.
        """
        trained = [run for runs in self.arms.values() for run in runs]
        runs = [*(() if self.teacher is None else (self.teacher,)), *trained]
        seeds, warned = self.seeds, self.warnings
        parts = ["\n".join(f"warning: {line}" for line in warned)] if warned else []
        parts += [runs_table(runs) if runs else "the teacher is a classifier already; nothing was trained."]
        parts += [
            each.render() for each in (self.general, self.folds, self.floors, seeds, self.artifact) if each is not None
        ]
        if self.to_label is not None:
            parts += [f"to_label.jsonl: {self.to_label.summary}"]
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return runs, floors, seeds and artifact as plain data."""
        seeds = self.seeds
        return {
            "teacher": None if self.teacher is None else self.teacher.to_dict(),
            "arms": {kind: [run.to_dict() for run in runs] for kind, runs in self.arms.items()},
            "floors": None if self.floors is None else self.floors.to_dict(),
            "folds": None if self.folds is None else self.folds.to_dict(),
            "warnings": list(self.warnings),
            "unbeaten": list(self.unbeaten),
            "seeds": None if seeds is None else seeds.to_dict(),
            "artifact": None if self.artifact is None else self.artifact.to_dict(),
            "general": None if self.general is None else self.general.to_dict(),
            "to_label": None if self.to_label is None else self.to_label.to_dict(),
        }


def _data(run: Run) -> tuple[Any, Any]:
    data = run.info.get("data") or {}
    return data.get("name"), data.get("fingerprint")
