"""What finetune, distill and export print at their end: metrics with intervals, sizes, seeds, the verification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from liteft import files
from liteft.run import runs_table

if TYPE_CHECKING:
    from liteft.pipeline import Distillation
    from liteft.report.seeds import SeedsTable
    from liteft.run import Run

__all__ = [
    "half_size",
    "outcome_document",
    "outcome_text",
]

_SPLITS = ("validation", "test")
_LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer")


def outcome_text(outcome: Distillation) -> str:
    """Return what a whole distillation came to."""
    teacher = () if outcome.teacher is None else (outcome.teacher,)
    runs = [*teacher, *outcome.students, *outcome.controls]
    parts = [runs_table(runs) if runs else "the teacher is a classifier already; nothing was trained."]
    seeds = _seeds(outcome)
    parts += [] if seeds is None else [seeds.render()]
    parts += [] if outcome.artifact is None else [outcome.artifact.render()]
    return "\n\n".join(parts)


def outcome_document(outcome: Distillation) -> dict[str, Any]:
    """Return what a whole distillation came to, as plain data."""
    seeds = _seeds(outcome)
    return {
        "teacher": None if outcome.teacher is None else outcome.teacher.to_dict(),
        "students": [run.to_dict() for run in outcome.students],
        "controls": [run.to_dict() for run in outcome.controls],
        "seeds": None if seeds is None else seeds.to_dict(),
        "artifact": None if outcome.artifact is None else outcome.artifact.to_dict(),
    }


def half_size(run: Run) -> str:
    """Return half of a run's layers, rounded down: a size for a first student."""
    config = files.read_json(run.model_path / "config.json")
    layers = next((config[key] for key in _LAYER_KEYS if key in config), 2)
    return str(max(1, int(layers) // 2))


def _seeds(outcome: Distillation) -> SeedsTable | None:
    """Return students beside their controls and their teacher; None for one student alone, or without labels.

    A teacher that was trained on other data has predictions of other texts, so it is left out. Hours of training must
    not end in an error about it.
    """
    from liteft.report.seeds import seeds_table

    students, teacher = outcome.students, outcome.teacher
    if not students or len(students) + len(outcome.controls) < 2:
        return None
    split = next((name for name in reversed(_SPLITS) if students[0].metrics.get(name)), None)
    if split is None:
        return None
    same = teacher is not None and teacher.labels == students[0].labels and _data(teacher) == _data(students[0])
    return seeds_table(students, outcome.controls, (teacher,) if teacher is not None and same else (), split=split)


def _data(run: Run) -> tuple[Any, Any]:
    data = run.info.get("data") or {}
    return data.get("name"), data.get("fingerprint")
