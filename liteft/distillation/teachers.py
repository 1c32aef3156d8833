"""The teacher: a loaded classifier with the hash of its weights.

It is given as a finished run, as a classifier's folder, or as a base, which is fine-tuned first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from liteft.arguments import ProgressFunction
from liteft.config import resolve_recipe
from liteft.data import Dataset
from liteft.data.relabeling import relabeled
from liteft.errors import ConfigError, Hint, LiteftError, ModelError, leave_out
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.calibration import calibrate, without_threshold
from liteft.finetuning.context import RunContext
from liteft.finetuning.foreign_tags import refuse_iob1
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, is_classifier, load_classifier
from liteft.finetuning.setfit import load_setfit
from liteft.finetuning.settings import ModelSettings
from liteft.finetuning.teacher import train_teacher
from liteft.foreign import Said, adopted_labels
from liteft.foreign.meaning import LABELS_HINT, renamed_text
from liteft.foreign.setfit import is_setfit, setfit_sha256
from liteft.hub import origin_of
from liteft.recipes import Recipe
from liteft.run import RUN_FILE, Run, base_of_run, model_weights_sha256, read_run
from liteft.tasks import task_asked

__all__ = ["Base", "FoldTeachers", "Teacher", "can_teach", "find_teacher", "ready_teacher", "with_labels"]


@dataclass(frozen=True)
class FoldTeachers:
    """Teachers of which each has not seen one fold of the training texts; see folds.py.

    Attributes:
        runs: one per fold.
        fold: index into ``runs`` of the one that has not seen a training row, int64 (training texts,); -1 where the
            whole teacher is asked, as a label has texts in one fold only.
    """

    runs: tuple[Run, ...]
    fold: np.ndarray


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned classifier to learn from, perhaps with others beside it whose opinions count as well.

    Attributes:
        loaded: the classifier, in evaluation mode.
        run: the run that made it, or None for a classifier from elsewhere.
        weights_sha256: of its weights.
        shift: the logit above which it chooses labels, where a threshold was tuned; it teaches the probabilities.
        temperature: by which the logits of a classifier from elsewhere were divided before they teach.
        others: more teachers of an ensemble: the student learns the mean of all.
        folds: teachers that are asked in its place, each for the texts that it has not seen; None without any.
    """

    loaded: TorchClassifier
    run: Run | None
    weights_sha256: str
    shift: float = 0.0
    temperature: float = 1.0
    others: tuple[Teacher, ...] = ()
    folds: FoldTeachers | None = None

    @classmethod
    def of(cls, run: Run) -> Teacher:
        """Return the classifier that a finished run made."""
        return cls.loaded_from(load_classifier(run.model_path), run, str(run.info["weights_sha256"]))

    @classmethod
    def loaded_from(cls, loaded: TorchClassifier, run: Run | None, weights_sha256: str) -> Teacher:
        """Return a classifier as a teacher: one with a tuned threshold teaches the probabilities before its shift."""
        shift = loaded.settings.threshold_shift
        return cls(without_threshold(loaded), run, weights_sha256, shift)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to another process as the folder of its run, which is read again there, if it has one."""
        loaded = self.loaded if self.run is None else self.loaded.settings
        return _received, (loaded, self.run, self.weights_sha256, self.shift, self.temperature, self.others, self.folds)

    @property
    def name(self) -> str:
        """The last part of its path; of one from the hub, its repository and commit."""
        path = self.run.path if self.run else self.loaded.path
        origin = origin_of(path)
        return path.resolve().name if origin is None else str(origin)

    @property
    def logits_sha256(self) -> str:
        """The hash of its weights, and the temperature by which its logits were divided since they were stored."""
        return self.weights_sha256 if self.temperature == 1.0 else f"{self.weights_sha256}/{self.temperature!r}"

    @property
    def asked_sha256(self) -> str:
        """What all that are asked for logits depend on: hashes of weights, and temperatures."""
        folds = () if self.folds is None else self.folds.runs
        more = [*(str(run.info["weights_sha256"]) for run in folds), *(each.logits_sha256 for each in self.others)]
        return " ".join([self.logits_sha256, *more])

    def described(self) -> dict[str, Any]:
        """Return the fields about the teacher in a student's run.json."""
        described: dict[str, Any] = {
            "name": self.name,
            "path": str(self.run.path if self.run else self.loaded.path),
            "weights_sha256": self.weights_sha256,
        }
        if self.run is not None:
            described |= {"base": self.run.info.get("base"), "parameters": self.run.info.get("parameters")}
        if self.temperature != 1.0:
            described["temperature"] = self.temperature
        if self.folds is not None:
            described["folds"] = [str(run.info["weights_sha256"]) for run in self.folds.runs]
        if self.others:
            described["others"] = [each.described() for each in self.others]
        return described


def _received(loaded: TorchClassifier | ModelSettings, run: Run | None, *rest: Any) -> Teacher:
    """Return a teacher that another process has sent."""
    if isinstance(loaded, TorchClassifier):
        return Teacher(loaded, run, *rest)
    assert run is not None
    found = Teacher.of(run).loaded
    found.settings = loaded
    return Teacher(found, run, *rest)


@dataclass(frozen=True)
class Base:
    """A pretrained model that has to be fine-tuned before it can teach.

    Attributes:
        name: folder or hub name, as it was given.
        folder: its local path.
    """

    name: str
    folder: Path


def can_teach(folder: Path) -> bool:
    """Return whether a model folder is a classifier, which teaches as it is, and no base that is fine-tuned first."""
    return is_setfit(folder) or is_classifier(folder)


def find_teacher(
    source: Run | str | Path,
    *,
    dataset: Dataset | None = None,
    recipe: Recipe | None = None,
    tell: ProgressFunction | None = None,
) -> Base | Teacher:
    """Return the teacher that ``source`` names, or the base that is to become it.

    Args:
        source: a finished run or its folder, a classifier's folder (transformers' or SetFit's), or a base (folder or
            hub name).
        dataset: the data; it fills in what a classifier written by transformers does not state.
        recipe: ``teacher.labels`` and ``data.task`` fill this in too.
        tell: called with a line of text if the teacher's labels get the names in the data.

    Raises:
        ModelError: none of these, a classifier that cannot be loaded, or one that does not say what it means.
        ConfigError: labels for a model that has its own, or another pooling or max_tokens than a finished teacher has.
        RunError: an unfinished run.
    """
    said = _said(dataset, recipe)
    if not isinstance(source, Run):
        path = Path(source)
        started = (path / RUN_FILE).is_file() or (path / "recipe.toml").is_file()
        if started and base_of_run(path) is None:
            source = read_run(path)
        else:
            folder = resolve_base(os.fspath(source))
            if can_teach(folder):
                setfit = is_setfit(folder)
                loaded = load_setfit(folder, said=said) if setfit else load_classifier(folder, said=said)
                _adopt_labels(loaded, dataset, tell)
                _refuse_reading(loaded.settings.pooling, loaded.settings.max_tokens, recipe, source)
                sha256 = setfit_sha256(folder) if setfit else model_weights_sha256(folder)
                return Teacher.loaded_from(loaded, None, sha256)
            _refuse_labels(said, source)
            return Base(os.fspath(source), folder)
    _refuse_labels(said, source.path)
    _refuse_reading(str(source.info["pooling"]), int(source.info["max_tokens"]), recipe, source.path)
    return Teacher.of(source)


def _refuse_reading(pooling: str, max_tokens: int, recipe: Recipe | None, source: str | Path) -> None:
    """Refuse a pooling or a length that a finished teacher does not have: its students read a text as it does."""
    if recipe is None:
        return
    asked = recipe.teacher
    if asked.pooling not in ("auto", pooling):
        raise ConfigError(
            f"pooling {asked.pooling} was requested, and the teacher {source} has pooling {pooling}.",
            accepted={"pooling": "of a base that is fine-tuned"},
            fix=leave_out("pooling"),
        )
    if asked.max_tokens not in (None, max_tokens):
        raise ConfigError(
            f"max_tokens {asked.max_tokens} was requested, and the teacher {source} reads {max_tokens}.",
            accepted={"max_tokens": "of a base that is fine-tuned; students of a finished teacher read as it does"},
            fix=leave_out("max_tokens"),
        )


def ready_teacher(
    source: Run | str | Path,
    dataset: Dataset,
    recipe: Recipe,
    context: RunContext,
    *,
    check: Callable[[Base], None] | None = None,
) -> tuple[Teacher, bool]:
    """Return the teacher that ``source`` names, and whether it was trained by this call.

    A base is fine-tuned into the folder of ``context``, unless it was before.

    Args:
        source, dataset, recipe: as for ``find_teacher``.
        context: of the teacher's training.
        check: called with a base before it is fine-tuned; it raises an error where the rest would fail later.
    """
    found = find_teacher(source, dataset=dataset, recipe=recipe, tell=context.progress)
    if isinstance(found, Teacher):
        return _calibrated(found, dataset, recipe, context), False
    if check is not None:
        check(found)
    trained = not (context.out / RUN_FILE).is_file()
    run = train_teacher(dataset, resolve_recipe(recipe, "teacher", {"base": found.name}), context)
    return Teacher.of(run), trained


def _calibrated(teacher: Teacher, dataset: Dataset, recipe: Recipe, context: RunContext) -> Teacher:
    """Return a teacher whose logits were divided by a temperature; a model of LiteFT's is as its recipe wanted it.

    Raises:
        ModelError: as for ``with_labels``, or its tags are IOB1.
    """
    if teacher.run is not None or teacher.loaded.own or dataset.task.extractive:
        return teacher
    validation = with_labels(dataset, teacher).validation
    if dataset.task.per_word:
        refuse_iob1(
            teacher.loaded, predict_logits(teacher.loaded, validation.take(np.arange(min(256, len(validation)))))
        )
    untuned = recipe.teacher.model_copy(update={"tune_threshold": False})
    temperature = calibrate(teacher.loaded, validation, untuned)["temperature"]
    if temperature != 1.0:
        context.tell(f"the teacher's logits are divided by {temperature:.2f}, a temperature fitted on validation")
    return replace(teacher, temperature=temperature)


def _said(dataset: Dataset | None, recipe: Recipe | None) -> Said:
    labels = None if recipe is None or recipe.teacher.labels is None else tuple(recipe.teacher.labels)
    paired = False if recipe is not None and recipe.data.pair == "" else None
    task = None if recipe is None else recipe.data.task
    return Said(labels, task_asked(task), paired, seen_pairs=None if dataset is None else dataset.paired)


def _refuse_labels(said: Said, source: object) -> None:
    if said.labels is not None:
        raise ConfigError(
            f"labels name the logits of a classifier written by transformers, but {source} is not one.",
            fix=[leave_out("labels")],
        )


def _adopt_labels(loaded: TorchClassifier, dataset: Dataset | None, tell: ProgressFunction | None) -> None:
    """Give the labels of a classifier written by transformers the names in the data, if only one order is possible."""
    own = loaded.settings.labels
    taken = None if dataset is None or loaded.own else adopted_labels(own, dataset.labels)
    if taken is None or taken == own:
        return
    loaded.settings = replace(loaded.settings, labels=taken)
    if tell is not None:
        tell(f"the teacher's labels are named as the data name them: {renamed_text(own, taken)}")


def with_labels(dataset: Dataset, teacher: Teacher) -> Dataset:
    """Return the data set with its labels in the teacher's order.

    Raises:
        ModelError: the teacher has other labels, another task, or reads pairs where there are none.
    """
    settings = teacher.loaded.settings
    if settings.task != dataset.task:
        seen = {"its task": settings.task, "the data's task": dataset.task}
        silent = not teacher.loaded.own and teacher.loaded.config.problem_type is None
        raise _unfit(dataset, teacher, seen, [_task_hint(dataset.task)] if silent else [])
    if settings.paired != dataset.paired:
        raise _unfit(dataset, teacher, {"it reads": _texts(settings.paired), "the data hold": _texts(dataset.paired)})
    _meet_units(dataset, teacher)
    if settings.marked != dataset.marked:
        read, held = _marks(settings.marked), _marks(dataset.marked)
        raise _unfit(dataset, teacher, {"it reads": read, "the data hold": held})
    if settings.labels == dataset.labels:
        return dataset
    if set(settings.labels) != set(dataset.labels):
        shown = {"its labels": ", ".join(settings.labels[:8]), "the data's labels": ", ".join(dataset.labels[:8])}
        raise _unfit(dataset, teacher, shown, [] if teacher.loaded.own else [LABELS_HINT])
    splits = {name: relabeled(split, settings.labels) for name, split in dataset.splits.items()}
    return replace(dataset, labels=settings.labels, splits=splits)


def _meet_units(dataset: Dataset, teacher: Teacher) -> None:
    """Let a teacher of scores have the task of the data, with their mean and deviation, so that students have it too.

    A classifier from elsewhere without an activation may teach scores from 0 to 1: the sigmoid of its logits.

    Raises:
        ModelError: its scores are from 0 to 1 and those of the data are not, or the reverse.
    """
    settings, task = teacher.loaded.settings, dataset.task
    if not task.numeric:
        return
    bounded = task.activation != "none"
    if settings.activation != task.activation and (teacher.loaded.own or not bounded):
        kinds = ("any numbers", "from 0 to 1")
        raise _unfit(dataset, teacher, {"its scores": kinds[not bounded], "those of the data": kinds[bounded]})
    teacher.loaded.settings = replace(settings, task=task, activation=None)


def _texts(paired: bool) -> str:
    return "pairs of texts" if paired else "single texts"


def _marks(marked: bool) -> str:
    return "texts with a marked word, such as a predicate" if marked else "texts without a marked word"


def _task_hint(task: str) -> Hint:
    return Hint(
        f'a recipe with data.task = "{task}", if the teacher was trained so',
        f"--task {task}, if the teacher was trained so",
    )


def _unfit(dataset: Dataset, teacher: Teacher, seen: Mapping[str, str], more: Sequence[Hint] = ()) -> LiteftError:
    return ModelError(
        f"the teacher {teacher.name} was not made for the data {dataset.name}.",
        accepted=seen,
        fix=[
            *more,
            "the data that it was trained on",
            Hint("a base as the teacher is fine-tuned first", "a base as --teacher is fine-tuned first"),
        ],
    )
