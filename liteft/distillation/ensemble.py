"""The logits that a student learns: of one teacher, of several together, or of fold teachers.

Several teachers teach the mean of their probabilities, as logits. So they may be of different families and tokenizers,
and those that are sure count for more than those that are not. The probabilities must then mean the same: a teacher
whose logits were not divided by a temperature when it was trained gets one here, fitted on the validation split.

Source: Hinton et al. 2015, sections 3 and 5, arXiv:1503.02531.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from liteft import files
from liteft.data import Dataset, Split
from liteft.distillation.cache import LARGE, array_header, teacher_logits
from liteft.distillation.teachers import FoldTeachers, Teacher
from liteft.distillation.training import StudentTraining
from liteft.errors import ConfigError, Hint, leave_out, option
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.trainer import resolve_precision
from liteft.ragged import Rows, applied, columns, concatenated
from liteft.recipes import StudentRecipe
from liteft.tasks import Task, fit_temperature, rows_to_calibrate

__all__ = ["cached_logits", "check_augmented", "check_ensemble", "taught_logits"]

_TEXTS = 1 << 16


def check_ensemble(teachers: int, recipe: StudentRecipe) -> None:
    """Refuse settings for which several teachers would have to run during the student's training.

    Raises:
        ConfigError: several teachers, and augmented texts.
    """
    if teachers > 1 and recipe.augmentation != "none":
        raise ConfigError(
            f"augmented texts are labelled by one teacher that runs beside the student, and {teachers} are named.",
            accepted={"several teachers": "with augmentation = none: their logits are computed once, before training"},
            fix=[option("student.augmentation", "none"), "name one teacher"],
        )


def check_augmented(recipe: StudentRecipe, *, unlabelled: bool, task: Task) -> None:
    """Refuse augmentation that is to leave all texts as they are, or that would change the words that are judged.

    Raises:
        ConfigError: labelled texts are not to be augmented, and there are no others; or words are judged.
    """
    if recipe.augmentation != "none" and task.per_word:
        raise ConfigError(
            f"augmentation={recipe.augmentation} changes the words of a text, and each of them is judged here.",
            accepted={"for words": "texts without labels (unlabeled)"},
            fix=option("student.augmentation", "none"),
        )
    if recipe.augmentation != "none" and recipe.augment_labelled is False and not unlabelled:
        raise ConfigError(
            f"augmentation={recipe.augmentation} has nothing to augment: augment_labelled is False, and there are no "
            "unlabelled texts.",
            fix=[Hint('unlabeled="pool.txt"', "--unlabeled pool.txt"), leave_out("student.augment_labelled")],
        )


def taught_logits(training: StudentTraining, split: Split) -> Rows:
    """Return the logits that a student learns for a split's texts: float32 (texts, labels), cached.

    Args:
        training: its teacher is asked, and those beside it.
        split: the training texts of ``training``, in their order, and any texts without labels after them.
    """
    teacher = training.teacher
    if teacher.folds is not None:
        return _of_folds(training, teacher.folds, split)
    if not teacher.others:
        return cached_logits(training, teacher, split)
    parts = [
        _Part.of(cached_logits(training, each, split), each, training, divisor=_temperature(each, training.dataset))
        for each in (teacher, *teacher.others)
    ]
    return _gathered(training, len(split), _means(training.dataset.task, parts, len(split)))


@dataclass(frozen=True)
class _Part:
    """What one of several teachers says: its logits as they were stored, and how to read them.

    Attributes:
        logits: float (texts, labels), in memory or mapped from a file.
        columns: the teacher's column of each label of the data.
        divisor: a temperature.
        first: the row of the first text.
    """

    logits: Rows
    columns: list[int]
    divisor: float = 1.0
    first: int = 0

    @classmethod
    def of(
        cls, logits: Rows, teacher: Teacher, training: StudentTraining, *, divisor: float = 1.0, first: int = 0
    ) -> _Part:
        """Return what a teacher says of some texts, with its columns in the order of the data's labels."""
        names = teacher.loaded.settings.labels
        if training.dataset.task.extractive:  # the columns of a packed form have no names
            return cls(logits, [*range(logits.shape[1])], divisor, first)
        return cls(logits, [names.index(label) for label in training.dataset.labels], divisor, first)

    def rows(self, start: int, stop: int) -> Rows:
        """Return some of the logits as float64."""
        found = self.logits[self.first + start : self.first + stop]
        return applied(lambda values: np.asarray(values, dtype=np.float64)[:, self.columns] / self.divisor, found)


def _of_folds(training: StudentTraining, folds: FoldTeachers, split: Split) -> Rows:
    """Return for each training text the logits of the teacher that has not seen it; for others the mean of all."""
    dataset = training.dataset
    rest = np.arange(len(folds.fold), len(split))
    parts, labelled, order = [], [], []
    for number, run in enumerate(folds.runs):
        own = np.flatnonzero(folds.fold == number)
        teacher = Teacher.of(run)
        found = cached_logits(training, teacher, split.take(np.concatenate([own, rest])))
        labelled.append(_Part.of(found, teacher, training).rows(0, len(own)))
        order.append(own)
        parts.append(_Part.of(found, teacher, training, first=len(own)))
    whole = np.flatnonzero(folds.fold < 0)
    if len(whole):
        labelled.append(cached_logits(training, training.teacher, split.take(whole)))
        order.append(whole)
    own_first = concatenated(labelled)[np.argsort(np.concatenate(order))].astype(np.float32)
    return _gathered(training, len(split), itertools.chain([own_first], _means(dataset.task, parts, len(rest))))


def _means(task: Task, parts: list[_Part], texts: int) -> Iterator[Rows]:
    """Yield the logits of the mean probabilities, some texts at a time: arithmetic in float64 takes memory."""
    for first in range(0, texts, _TEXTS):
        last = min(first + _TEXTS, texts)
        yield task.mean_logits([part.rows(first, last) for part in parts]).astype(np.float32)


def _gathered(training: StudentTraining, texts: int, blocks: Iterator[Rows]) -> Rows:
    """Return blocks of logits as one array: of many texts one that is mapped from a file beside the checkpoints.

    Raises:
        RunError: the file cannot be written.
    """
    if texts <= LARGE or not training.dataset.task.of_whole_texts:
        return concatenated([*blocks])
    shape = (texts, len(training.dataset.labels))
    path = training.context.checkpoints / "cache" / f"taught-{training.context.state.process_index}.npy"
    with files.writing_file(path) as temporary, open(temporary, "wb") as file:
        file.write(array_header(shape, np.dtype(np.float32)))
        for block in blocks:
            file.write(block.tobytes())
    mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def cached_logits(training: StudentTraining, teacher: Teacher, split: Split, *, name: str = "teacher") -> Rows:
    """Return one model's logits of a split, (texts, labels), cached in its run's folder; see ``teacher_logits``."""
    folder: Path = training.context.checkpoints if teacher.run is None else teacher.run.path
    return teacher_logits(
        teacher.loaded,
        teacher.logits_sha256,
        split,
        folder=folder / "cache",
        bf16=resolve_precision(training.recipe.training_precision) == "bf16",
        tell=training.context.tell,
        name=name,
    )


def _temperature(teacher: Teacher, dataset: Dataset) -> float:
    """Return what a teacher's logits still have to be divided by: 1 if its training has done so."""
    validation, task = dataset.validation, dataset.task
    done = teacher.temperature if teacher.run is None else teacher.run.info.get("temperature", 1.0)
    if done != 1.0 or validation.labels is None or task.extractive:
        return 1.0
    rows = rows_to_calibrate(validation.labels, task, unseen_label=validation.unseen_label)
    if not len(rows):
        return 1.0
    names = teacher.loaded.settings.labels
    known = replace(validation, provenance=None).take(rows)
    logits = columns(predict_logits(teacher.loaded, known), [names.index(name) for name in dataset.labels])
    assert known.labels is not None
    return fit_temperature(logits, known.labels, task)
