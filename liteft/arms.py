"""The arms of an experiment: a student and the models that show what distilling contributed.

Arms have one shape, one number of steps and one grid of learning rates. They differ in what they start from and in
what they see, so the difference between two of them answers one question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ARMS",
    "COMPARED",
    "GENERAL_START",
    "HEADED_START",
    "OWN_START",
    "Arm",
    "ArmName",
    "Kind",
    "arms_of",
    "threshold_notes",
    "worse_than_arms",
]

ArmName = Literal["c0", "c1", "c2"]
Kind = Literal["student", "control", "c0", "c2"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the models that are compared.

    Attributes:
        kind: its value in run.json.
        title: its name in tables.
        start: what it starts from, unless all arms start from one encoder.
        sees: what it is trained on.
        question: what the student's difference to it answers; "" for the student.
        better: what is to be done where it is better than the student; "" for the student.
    """

    kind: Kind
    title: str
    start: str
    sees: str
    question: str = ""
    better: str = ""

    @property
    def suffix(self) -> str:
        """What its run folder has after the student's name."""
        return "" if self.kind == "student" else f"-{self.kind}"

    def described(self, start: str = "") -> str:
        """Return the arm in one line: what it starts from and what it sees.

        Args:
            start: what its runs started from, if they say it; "" for the usual.
        """
        return f"{self.title}: starts from {start or self.start}; sees {self.sees}"


ARMS: dict[str, Arm] = {
    arm.kind: arm
    for arm in (
        Arm(
            "student",
            "student",
            "the teacher's layers and head",
            "the teacher's answers, to unlabelled texts too if there are any, and labels by hard_weight",
        ),
        Arm(
            "control",
            "control (C1)",
            "the teacher's layers and head",
            "labels",
            "do the teacher's answers help?",
            "its teacher's answers did harm; use the control, or give more texts without labels",
        ),
        Arm(
            "c0",
            "C0",
            "the base's layers, without a teacher, and a new head",
            "labels",
            "is the procedure worth it?",
            "the base alone, without a teacher, is better; use it, or another teacher",
        ),
        Arm(
            "c2",
            "C2",
            "the finished control (C1)",
            "the control's own answers, to unlabelled texts too if there are any, and labels by hard_weight",
            "is it more than the use of the texts?",
            "self-training is better than its teacher",
        ),
    )
}
OWN_START = "an encoder that the user named, and a new head"
HEADED_START = "a classifier that the user named, with its head"
GENERAL_START = "the base, distilled on unlabelled texts without the task, and a new head"
_PRINTED = 0.001  # the last digit of points
COMPARED: dict[ArmName, Kind] = {"c1": "control", "c0": "c0", "c2": "c2"}  # in the order in which they are trained


def arms_of(names: Iterable[str], *, control: bool) -> tuple[Kind, ...]:
    """Return the arms that are trained beside the student, in their order. C2 starts from C1, so it brings it along.

    Args:
        names: "c0", "c1", "c2" in any order.
        control: the same as "c1".
    """
    wanted: Sequence[str] = [*names, *(["c1"] if control or "c2" in names else [])]
    return tuple(kind for name, kind in COMPARED.items() if name in wanted)


def worse_than_arms(differences: Mapping[str, tuple[float, float, float]], metric: str) -> tuple[str, ...]:
    """Return a warning for each arm that is better than the student by more than chance.

    Args:
        differences: kind -> the student's metric minus its own, a share, and both ends of the interval; what is no arm,
            as the teacher, is left out.
        metric: its words, and what was scored.
    """
    return tuple(
        f"the student is worse than {ARMS[kind].title}, by {-100 * value:.1f} points of {metric} "
        f"[{-100 * high:.1f}, {-100 * low:.1f}]: {ARMS[kind].better}"
        for kind, (value, low, high) in differences.items()
        if high < -_PRINTED / 2 and kind in ARMS  # an end that is printed as 0.0 excludes nothing
    )


def threshold_notes(tuned: Mapping[str, bool]) -> tuple[str, ...]:
    """Return a note if some models choose labels at a threshold tuned on validation, and others at 0.5.

    Args:
        tuned: name -> whether the model's threshold was tuned.
    """
    names = {kind: [name for name, each in tuned.items() if each is kind] for kind in (True, False)}
    if not all(names.values()):
        return ()
    return (
        f"labels are chosen at a threshold tuned on validation by {', '.join(names[True])}, and at 0.5 by "
        f"{', '.join(names[False])}: a part of the difference in F1 is due to that",
    )
