"""Cross-validation of a whole distillation: each labelled text is tested once, by models that have not seen it.

A tenth of a few hundred labels is too few texts to test on. With folds every text counts: for each fold a teacher, a
student and its arms are trained on the others, and the predictions of all folds are judged together. This says what the
procedure is worth; the student that is exported afterwards is trained on the whole training split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from liteft import files
from liteft.arms import ARMS, threshold_notes, worse_than_arms
from liteft.config import resolve_recipe
from liteft.data import Dataset, Split
from liteft.data.folds import count_different, folds_of_split, with_duplicates
from liteft.data.pool import cleaned
from liteft.data.split import joined
from liteft.distillation import distill_students
from liteft.distillation.ready import TeacherSource
from liteft.distillation.teachers import Base, find_teacher
from liteft.errors import ConfigError, DataError, ModelError, RunError, option
from liteft.finetuning.context import RunContext
from liteft.finetuning.run_folder import refuse_other_run
from liteft.floors import Floors, can_train, cross_validated, not_beaten
from liteft.metrics import Estimate, paired_interval_over_seeds
from liteft.recipes import Recipe
from liteft.results import Result
from liteft.run import FOLDS_FILE, Run, read_folds
from liteft.tasks import Task
from liteft.text_tables import aligned, metric_words, points, share

__all__ = ["CrossValidation", "cross_validate", "fold_datasets", "labelled_texts", "together"]

_FEWEST = 4  # different texts: one to test, one to choose by and two to learn from
_FEWEST_TO_CORRELATE = 10  # texts of a fold, in the mean


@dataclass(frozen=True, repr=False)
class CrossValidation(Result):
    """What the models of all folds reach together.

    Attributes:
        folds: number of folds.
        texts: number of texts; each was tested once.
        task: what the labels mean.
        scores: kind ("student", other arms, "teacher") -> metrics over all texts.
        intervals: kind -> 95% intervals of the headline metrics; texts are the samples.
        differences: kind -> the student's primary metric minus its own, with a 95% interval over texts.
        floors: simple models, cross-validated too; None without scikit-learn.
        starts: kind -> what its models started from, in words, if they say it.
        notes: caveats for the reader of the numbers.
    """

    folds: int
    texts: int
    task: Task
    scores: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    differences: Mapping[str, Estimate]
    floors: Floors | None = None
    starts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"CrossValidation({self.folds} folds, {self.texts:,} texts: {', '.join(self.scores)})"

    def render(self) -> str:
        """Return the table of all kinds and floors, and the student's differences."""
        names = self.task.headline_metrics
        gained = f"student minus it, points of {metric_words(self.task.primary_metric)}"
        rows = [("model", *(f"{metric_words(name)} %" for name in names), gained)]
        for kind, scores in self.scores.items():
            cells = (share(scores[name], self.intervals[kind][name]) for name in names)
            rows.append((kind, *cells, _points(self.differences.get(kind))))
        for floor in () if self.floors is None else self.floors.rows:
            (split,) = floor.scores
            cells = (share(floor.scores[split][name], floor.intervals[split][name]) for name in names)
            rows.append((floor.name, *cells, "-"))
        lines = [
            f"cross-validation: {self.texts:,} texts in {self.folds} folds, each tested once by models that have not "
            "seen it",
            "",
            aligned(rows, texts=1),
            "",
            "[ ]: 95% intervals over texts. They are of the procedure; the final student is trained on all of train.",
            *(["Correlations are means over folds, since each model has scores of its own."] * self.task.numeric),
            *(f"{ARMS[kind].described(self.starts.get(kind, ''))}." for kind in self.scores if kind in ARMS),
            *(f"Note: {note}." for note in self.notes),
        ]
        return "\n".join(lines)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know first, over all folds: arms that are better, and floors that are not beaten."""
        arms = {kind: (found.value, found.low, found.high) for kind, found in self.differences.items()}
        words = f"{metric_words(self.task.primary_metric)} over all folds"
        found = [f"{line}." for line in worse_than_arms(arms, words)]
        if self.floors is None:
            return tuple(found)
        own, (split,) = self.scores["student"], self.floors.splits
        floors = {floor.name: floor.scores[split] for floor in self.floors.rows}
        for name in not_beaten(own, floors, self.task):
            numbers = ", ".join(
                f"{metric_words(each)} {100 * own[each]:.1f} and {100 * floors[name][each]:.1f}"
                for each in self.task.judged_by
            )
            found.append(f"over all folds the student is not better than {name}: {numbers}.")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain data."""
        return {
            "folds": self.folds,
            "texts": self.texts,
            "task": str(self.task),
            "metrics": {kind: dict(scores) for kind, scores in self.scores.items()},
            "intervals": {
                kind: {name: list(each) for name, each in found.items()} for kind, found in self.intervals.items()
            },
            "student_minus": {
                kind: {
                    "metric": self.task.primary_metric,
                    "difference": found.value,
                    "interval": [found.low, found.high],
                }
                for kind, found in self.differences.items()
            },
            "floors": None if self.floors is None else self.floors.to_dict(),
            "notes": list(self.notes),
        }


def cross_validate(source: TeacherSource, dataset: Dataset, recipe: Recipe, context: RunContext) -> CrossValidation:
    """Distil once for each fold, into OUT/fold1 and so on, and judge all predictions together, in OUT/folds.json.

    Args:
        source: a base: a finished teacher has seen all texts.
        dataset: its training and validation texts are dealt out to the folds; its pool teaches in all of them.
        recipe: its table ``student`` says how many ``folds``.
        context: of the pipeline.

    Raises:
        ConfigError: the teacher is a finished one.
        RunError: the folder of the pipeline holds a teacher or student of other data or settings, such as one that was
            made without folds.
        DataError: fewer different texts than folds.
    """
    found = find_teacher(source, dataset=dataset, recipe=recipe)
    if not isinstance(found, Base):
        raise ConfigError(
            f"folds test what a procedure reaches on texts that it has not seen, and {source} is a teacher already.",
            accepted={"teacher": "a base, which is fine-tuned in each fold"},
            fix=[option("folds", 0), option("teacher", "minilm")],
        )
    _refuse_others(found, dataset, recipe, context.out)
    once = recipe.model_copy(update={"student": recipe.student.model_copy(update={"folds": 0, "seeds": 1})})
    runs: dict[str, list[Run]] = {}
    if recipe.student.seeds > 1:
        context.tell(f"folds: one student in each; {recipe.student.seeds} seeds are trained on all texts afterwards")
    folds = fold_datasets(
        dataset, recipe.student.folds, seed=recipe.data.seed, validation_fraction=recipe.data.validation_fraction
    )
    for number, fold in enumerate(folds, start=1):
        place = context.out / f"fold{number}"
        rows = (
            f"{len(fold.train):,} texts to train on, {len(fold.validation):,} to choose by, {len(fold.test):,} to test"
        )
        context.tell(f"fold {number} of {len(folds)}: {rows}")
        made = distill_students(
            source,
            fold,
            once,
            context.at(place / "student"),
            teacher_out=place / "teacher",
            general_out=context.out / "general",
        )
        for kind, trained in made.arms.items():
            runs.setdefault(kind, []).extend(trained)
        runs.setdefault("teacher", []).extend([made.teacher.run] if made.teacher.run else [])
    main = context.state.is_main_process
    floors = _floors(dataset, recipe.student.folds, found.folder) if main else None  # which the main one alone stores
    crossed = together(runs, floors=floors)
    if main:
        data = {"name": dataset.name, "fingerprint": dataset.fingerprint}
        asked = once.student.model_dump(mode="json", exclude={"seeds", "folds", "control", "arms"}, exclude_none=True)
        files.write_json(context.out / FOLDS_FILE, {"data": data, "student": asked, **crossed.to_dict()})
    return crossed


def _refuse_others(base: Base, dataset: Dataset, recipe: Recipe, out: Path) -> None:
    """Refuse a folder with another number of folds of the same data, or a teacher or student of other data or settings.

    Teacher and student are trained there after the folds.

    Raises:
        RunError: one of them is.
    """
    count = read_folds(out, dataset.fingerprint).get("folds")
    if count is not None and count != recipe.student.folds:
        raise RunError(
            f"{out} holds a cross-validation in {count} folds.",
            accepted={"folds": f"{count} -> {recipe.student.folds}"},
            fix=[option("out", "NEW_FOLDER", note=" for the new settings"), option("folds", count)],
        )
    named = resolve_recipe(recipe, "teacher", {"base": base.name})
    refuse_other_run(out / "teacher", named, {"data": dataset.fingerprint}, table="teacher")
    first = resolve_recipe(recipe, "student", {"seeds": 1, "folds": 0, "control": False, "arms": []})
    refuse_other_run(out / "student", first, {"data": dataset.fingerprint}, table="student")


def together(runs: Mapping[str, list[Run]], *, floors: Floors | None = None) -> CrossValidation:
    """Return the judgement of the test predictions of all folds, by kind."""
    student = runs["student"]
    task = student[0].task
    stored = {kind: [run.predictions("test") for run in each] for kind, each in runs.items()}
    judged = {kind: task.judge_folds(each) for kind, each in stored.items()}
    parts = {kind: each.contributions[None] for kind, each in judged.items()}
    return CrossValidation(
        folds=len(student),
        texts=len(parts["student"][0]),
        task=task,
        scores={kind: each.scores for kind, each in judged.items()},
        intervals={kind: each.intervals for kind, each in judged.items()},
        differences={
            kind: paired_interval_over_seeds(each, parts["student"])
            for kind, each in parts.items()
            if kind != "student"
        },
        floors=floors,
        starts={kind: each[0].start for kind, each in runs.items()},
        notes=threshold_notes({kind: any(run.tuned for run in each) for kind, each in runs.items()}),
    )


def fold_datasets(dataset: Dataset, count: int, *, seed: int, validation_fraction: float = 0.1) -> list[Dataset]:
    """Return a data set for each fold, which tests on the fold's texts and trains and validates on the others.

    The labelled texts are those of "train" and "validation". A text and its duplicates are in one fold, and the texts
    of each label are dealt out to all folds. Of a label that is left with one text, train has it and not validation.

    Args:
        dataset: the texts.
        count: number of folds.
        seed: of the draw.
        validation_fraction: share of all texts to choose by, as nearly as a whole number of parts comes to it.

    Raises:
        DataError: fewer different texts than folds, or too few in a fold for a correlation.
    """
    whole = labelled_texts(dataset)
    different = count_different(whole, dataset.task)
    if different < max(count, _FEWEST):
        kind, more = ("contexts", "ask about more") if dataset.task.extractive else ("labelled texts", "label more")
        if dataset.task.numeric and whole.pairs is not None:
            kind, more = "first texts of pairs, such as queries,", "score pairs of more"
        raise DataError(
            f"{dataset.name} has {different:,} different {kind} for {count} folds.",
            accepted={"texts": f"as many different ones as folds, and {_FEWEST} at least"},
            fix=[f"{more} texts", option("folds", different if different >= _FEWEST else 0)],
        )
    if dataset.task.numeric and len(whole) < count * _FEWEST_TO_CORRELATE:
        raise DataError(
            f"{count} folds of {len(whole):,} scored texts are too small: correlations are computed within each fold.",
            accepted={"texts": f"{_FEWEST_TO_CORRELATE} for each fold"},
            fix=["score more texts", option("folds", most if (most := len(whole) // _FEWEST_TO_CORRELATE) > 1 else 0)],
        )
    fold = folds_of_split(whole, dataset.task, dataset.labels, count, seed=seed)
    made = []
    for number in range(count):
        rest = whole.take(np.flatnonzero(fold != number))
        parts = min(max(2, round((1 - 1 / count) / validation_fraction)), count_different(rest, dataset.task))
        chosen = _with_all_labels(
            folds_of_split(rest, dataset.task, dataset.labels, parts, seed=seed) == 0, rest, dataset
        )
        splits = {
            "train": rest.take(np.flatnonzero(~chosen)),
            "validation": replace(rest.take(np.flatnonzero(chosen)), name="validation"),
            "test": replace(whole.take(np.flatnonzero(fold == number)), name="test"),
        }
        made.append(_clean(replace(dataset, splits=splits, unseen={}, notes=(), made=())))
    return made


def _with_all_labels(chosen: np.ndarray, rest: Split, dataset: Dataset) -> np.ndarray:
    """Return which texts validate: those of ``chosen`` but for labels, with duplicates, that train would not have."""
    assert rest.labels is not None
    has = dataset.task.present(rest.labels, len(dataset.labels))
    lost = has[chosen].any(axis=0) & ~has[~chosen].any(axis=0)
    left = chosen & ~with_duplicates(rest, chosen & has[:, lost].any(axis=1))
    return left if left.any() else chosen


def _clean(dataset: Dataset) -> Dataset:
    """Return a fold's data set without the texts of its pool that the fold tests or validates on."""
    if dataset.pool is None:
        return dataset
    pool, _ = cleaned(dataset.pool, dataset, what="the pool")
    return replace(dataset, pool=pool if len(pool) else None, left_out=dataset.left_out + len(dataset.pool) - len(pool))


def labelled_texts(dataset: Dataset, splits: Iterable[str] = ("train", "validation")) -> Split:
    """Return the texts of several splits as one, without those whose label is in no training text."""
    whole = joined("train", [dataset.splits[name] for name in splits])
    assert whole.labels is not None
    known = dataset.task.known(whole.labels) & (True if whole.unseen_label is None else ~whole.unseen_label)
    return replace(whole.take(np.flatnonzero(known)), unseen_label=None)


def _floors(dataset: Dataset, count: int, base: Path) -> Floors | None:
    """Return the floors over all folds, that of the base's word vectors among them if they can be read."""
    if not can_train() or dataset.task.numeric or dataset.task.extractive:
        return None
    whole = labelled_texts(dataset)
    try:
        return cross_validated(whole, dataset.task, dataset.labels, folds=count, base=base)
    except ModelError:
        return cross_validated(whole, dataset.task, dataset.labels, folds=count)


def _points(found: Estimate | None) -> str:
    if found is None:
        return "-"
    return points(found.value, (found.low, found.high))
