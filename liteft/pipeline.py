"""End to end: from data to a teacher, a student and a verified artifact, in one folder.

    OUT/teacher                  the fine-tuned base
    OUT/general                  the encoder that students start from, distilled on general texts, if there are such
    OUT/student, -seed1, ...     the students, one per seed
    OUT/student-control, ...     the arms they are compared with, if requested: -control, -c0, -c2
    OUT/floors.json              simple models trained on the same labels, which the student has to beat
    OUT/fold1, ..., folds.json   what cross-validation trains, and what it finds, if requested
    OUT/to_label.jsonl           the unlabelled texts to label next, if there are unlabelled texts
    OUT/artifact                 the first student, exported and verified

Repeating the call resumes where it stopped. `liteft.finetune` and `liteft.export` do the first and the last step alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from liteft.arguments import ProgressFunction, checked_callbacks, checked_progress, require_path
from liteft.artifact import MANIFEST, Artifact, Manifest, read_artifact, require_pipeline_folder, require_replaceable
from liteft.config import read_recipe, resolve_recipe
from liteft.cross_validated import cross_validate
from liteft.data import Dataset, Split
from liteft.data.pool import Unlabeled, unlabeled_once
from liteft.data.trainable import as_read, resolve_data
from liteft.distillation import check_student_of, distill_students
from liteft.distillation.general import open_general
from liteft.distillation.ready import TeacherSource, ready_teachers
from liteft.distillation.teachers import Teacher, can_teach, with_labels
from liteft.distilled import Distillation
from liteft.errors import ConfigError, LiteftError, ModelError, closest, leave_out, option
from liteft.exporting import Limits, export, refuse_another, trimming_of
from liteft.fan_out import checked_engine
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.context import RunContext
from liteft.finetuning.own_functions import LossFunction, MetricFunction, checked_functions
from liteft.finetuning.run_folder import RECIPE
from liteft.finetuning.trainer_keys import checked_trainer
from liteft.floors import FLOORS_FILE, Floors, can_train, read_floors, stored_floors
from liteft.picking import TO_LABEL_FILE, ToLabel, stored_to_label
from liteft.ranks import checked_processes, launch
from liteft.recipe_checks import Until, checked_stage, refuse_budget, require_choice, require_shares, require_student
from liteft.recipes import ExportRecipe, Recipe, StudentRecipe
from liteft.run import RUN_FILE, Run, base_of_run, read_run

__all__ = ["distill", "export_student"]


def distill(
    teacher: TeacherSource | Sequence[TeacherSource],
    data: Dataset | str | Path | None = None,
    *,
    out: str | Path,
    recipe: Recipe | None = None,
    until: Until = "artifact",
    overwrite: bool = False,
    trust: bool = False,
    progress: ProgressFunction | bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    metrics: Mapping[str, MetricFunction] | None = None,
    loss: LossFunction | None = None,
    processes: int = 1,
    engine: str = "local",
    **settings: Any,
) -> Distillation:
    """Distil a teacher into small students, export the first, and return everything that was made.

    This is what the command ``liteft distill`` does. The folder ``out`` gets ``teacher`` (if a base is fine-tuned),
    ``general`` (if there are general texts), ``student``, ``student-control``, ``student-c0``, ``student-seed1`` and so
    on, ``floors.json``, ``artifact``; with unlabelled texts ``to_label.jsonl``; with folds ``fold1`` and so on and
    ``folds.json``. Repeating the call resumes where it stopped, or returns what is finished.

    Args:
        teacher: a run, a classifier's folder, or a base (folder or hub name), which is fine-tuned first. Of a list of
            these the student learns the mean of the probabilities, and starts from the first.
        data: a data set, or what ``load_dataset`` takes as its source, which is read as the recipe's ``[data]`` table
            says; None for the source that this table names.
        out: the folder for all runs and the artifact.
        recipe: settings; all tables except ``search``.
        until: the last step: "teacher", "student" or "artifact".
        overwrite: replace an artifact of another form or of another student.
        trust: as in ``liteft.export``, for the artifact.
        progress: called with a line of text at each step; True prints it to stderr.
        callbacks: transformers callbacks for every training, such as your own loggers.
        metrics: name -> function(labels, predictions), computed on validation and logged; ``choose_by`` may name one.
        loss: function(logits, labels), the loss of labels for teachers, students and arms; see docs/guides/training.md.
        processes: train in so many processes of this machine, one per GPU if it has any (docs/guides/distributed.md).
        engine: "local" trains the seeds one after the other, "ray" each in a Ray task; see docs/guides/distributed.md.
        settings: keys of the recipe's ``[student]`` and ``[export]`` tables, which override the recipe, such as
            ``size="3x384"``. A key that both tables have (``vocabulary``) is the student's.

    Raises:
        ConfigError: an unknown setting or value, no data, a size deeper than the teacher, or a budget, which only a
            search takes.
        DataError: data that cannot be trained on.
        ModelError: a teacher or student that cannot be used.
        RunError: ``out`` is a file, a run or an artifact; or a folder holds another run, or cannot be written.
        VerificationError: the export does not agree with the student; the finished runs are kept.

    Source: Hinton et al. 2015, arXiv:1503.02531; ``general``, distilling before the task: Jiao et al. 2020 (TinyBERT),
    section 3, arXiv:1909.10351; initialising a student from its teacher's layers: Sanh et al. 2019
    (DistilBERT), section 3, arXiv:1910.01108.
    """
    progress, callbacks = checked_progress(progress), checked_callbacks(callbacks, TrainerCallback)
    require_path("out", out, accepted="a folder")
    teachers: list[Any] = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    for each in teachers or [""]:
        require_path(
            "teacher", each, kinds=(Run,), accepted="a run, a classifier's folder, or a base by folder or name"
        )
    stage, recipe, out = checked_stage(until), as_read(_resolved(recipe, settings)), Path(out)
    checked_engine(engine, processes=processes)
    own = checked_functions(metrics, loss)
    for table in (recipe.teacher, recipe.student):
        require_choice(table, own.metrics, table="teacher" if table is recipe.teacher else "student")
    context = RunContext(out, progress, callbacks, own)
    require_pipeline_folder(out)
    refuse_budget(recipe.search)
    sized = recipe.student.size is not None or recipe.student.student is not None
    if stage != "teacher" or sized:
        require_student(recipe.student)
    checked_trainer(recipe.teacher, table="teacher")
    checked_trainer(recipe.student, table="student")
    if recipe.student.folds and len(teachers) > 1:
        raise ConfigError(
            f"folds test students of one teacher, and {len(teachers)} teachers were named.",
            accepted={"folds": "with one base as the teacher, which is fine-tuned in each fold"},
            fix=[option("folds", 0), "name one teacher"],
        )
    if recipe.student.folds and recipe.data.labels_per_class is not None:
        raise _folds_of_few()
    if data is None and recipe.data.source is None:
        raise ConfigError(
            "no data was given.",
            accepted={"data": "a data set, a file, a folder of train, dev and test files, or a hub name"},
            fix=option("data", "FILE_OR_FOLDER"),
        )
    dataset = resolve_data(data if data is not None else str(recipe.data.source), recipe)
    if recipe.student.folds and dataset.subset is not None:
        raise _folds_of_few()
    if stage == "artifact":  # before hours of training
        _check_place(out, recipe, overwrite=overwrite)
    if checked_processes(processes) > 1:  # they do everything; what they made is read below
        _in_processes(processes, teachers, dataset, recipe, context, until=stage, overwrite=overwrite, trust=trust)
        overwrite, progress, context = False, None, RunContext(out, own=own)
    unlabeled = unlabeled_once(dataset, recipe, context.tell)
    finished = out / ("teacher" if stage == "teacher" else "student") / RUN_FILE
    if not finished.is_file():  # read before hours of training, in which they are needed last
        _check_pool(unlabeled(), recipe.student)
    if stage == "teacher":
        if recipe.student.general is not None and not finished.is_file():
            open_general(recipe)
        check = functools.partial(check_student_of, dataset=dataset, recipe=recipe) if sized else None
        found, _ = ready_teachers(teachers, dataset, recipe, context.at(out / "teacher"), check=check)
        return Distillation(found.run, {}, None, dataset)
    crossed = cross_validate(teachers[0], dataset, recipe, context) if recipe.student.folds else None
    made = distill_students(
        teachers,
        dataset,
        recipe,
        context.at(out / "student"),
        teacher_out=out / "teacher",
        general_out=out / "general",
        unlabeled=unlabeled,
        engine=engine,
    )
    dataset = with_labels(dataset, made.teacher)
    with context.state.main_process_first():  # the other processes of a training read what the first one makes
        floors = _floors(out, dataset, teachers[0], made.teacher, progress)
        artifact = None
        if stage == "artifact":
            artifact = export_student(
                made.arms["student"][0],
                out / "artifact",
                recipe,
                dataset,
                progress,
                overwrite=overwrite,
                trust=trust,
                unlabeled=unlabeled,
            )
        picked = _to_label(out, dataset, made.arms["student"][0], artifact, unlabeled(), context, trust=trust)
    return Distillation(made.teacher.run, made.arms, artifact, dataset, floors, crossed, picked, made.general)


def _in_processes(
    processes: int, teachers: list[Any], dataset: Dataset, recipe: Recipe, context: RunContext, **given: Any
) -> None:
    """Distil in several processes of this machine.

    Raises:
        ConfigError: the texts of a step cannot be shared equally among them.
    """
    student = recipe.student
    if not all(isinstance(each, Run) or _is_finished(Path(each)) for each in teachers):
        require_shares(recipe.teacher, processes, table="teacher")
    if given["until"] != "teacher":
        require_shares(student, processes)
    if student.general is not None:
        require_shares(recipe.pretrain, processes, table="pretrain")
    launch(
        distill,
        teachers,
        dataset,
        out=context.out,
        recipe=recipe,
        processes=processes,
        threads=student.threads,
        progress=context.progress,
        callbacks=context.callbacks,
        metrics=context.own.metrics,
        loss=context.own.loss,
        **given,
    )


def _is_finished(teacher: Path) -> bool:
    """Return whether a teacher is a classifier, and no base that is fine-tuned first."""
    if (teacher / RUN_FILE).is_file():
        return base_of_run(teacher) is None
    return can_teach(resolve_base(str(teacher)))


def _folds_of_few() -> ConfigError:
    return ConfigError(
        "folds deal out all labelled texts, and labels_per_class leaves some of them out.",
        accepted={"a few labels": "folds of a file that has no others, or subsets of the labels without folds"},
        fix=[option("folds", 0), leave_out("labels_per_class")],
    )


def _check_pool(pool: Split | None, recipe: StudentRecipe) -> None:
    """Refuse to pick texts of a pool that does not exist.

    Raises:
        ConfigError: the recipe asks for it.
    """
    if recipe.pool_select is not None and pool is None:
        raise ConfigError(
            f"pool_select={recipe.pool_select} picks texts of a pool without labels, and there is none.",
            accepted={"a pool": "unlabeled texts, or the rest of the training texts with labels_per_class"},
            fix=[option("unlabeled", "FILE"), leave_out("student.pool_select")],
        )


def _floors(
    out: Path, dataset: Dataset, source: TeacherSource, teacher: Teacher, progress: ProgressFunction | None
) -> Floors | None:
    """Return the floors in ``out``, trained if they are not there yet; None without scikit-learn, and for questions.

    The word vectors of the third floor are those of the base, or of a teacher whose base is unknown; without any that
    can be read, as of an adapter, that floor is left out.

    Args:
        out: the folder of the pipeline.
        dataset: with labels in the student's order.
        source: what was named as the teacher.
        teacher: what was found or made of it.
        progress: called with a line of text before a training.
    """
    if not can_train() or not dataset.task.of_labels:
        return None
    path = out / FLOORS_FILE
    if progress is not None and read_floors(path, dataset) is None:
        progress(f"training floors on {len(dataset.train):,} texts")
    try:
        return stored_floors(path, dataset, _base_folder(source) or teacher.loaded.path)
    except ModelError:
        return stored_floors(path, dataset)


def _to_label(
    out: Path,
    dataset: Dataset,
    student: Run,
    artifact: Artifact | None,
    pool: Split | None,
    context: RunContext,
    *,
    trust: bool,
) -> ToLabel | None:
    """Return the unlabelled texts to label next, written beside the runs if they are not there.

    None without any, or if labels are about a marked word and none is marked in them. Of scores and of questions there
    are none: they do not say how sure a model is, or which of them are worth an answer.
    """
    if pool is None or not len(pool) or not dataset.task.of_labels:
        return None
    if dataset.marked and pool.marked is None:
        context.tell(f"no {TO_LABEL_FILE}: labels are about a marked word, and the unlabelled texts have none marked")
        return None
    return stored_to_label(out / TO_LABEL_FILE, student, artifact, pool, dataset, trust=trust, tell=context.tell)


def _base_folder(teacher: TeacherSource) -> Path | None:
    """Return the folder of the base that is the teacher, or that it was fine-tuned from; None if it is not known.

    It is not known of a classifier from elsewhere, nor without a network.
    """
    path, named = teacher.path if isinstance(teacher, Run) else Path(teacher), str(teacher)
    if (path / RUN_FILE).is_file() and base_of_run(path) is None:
        recipe = path / RECIPE
        named = (read_recipe(recipe).teacher.base if recipe.is_file() else None) or ""
    try:
        folder = resolve_base(named) if named else None
    except LiteftError:  # the teacher is finished, so its base was there once
        return None
    return None if folder is None or can_teach(folder) else folder


def _resolved(recipe: Recipe | None, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with its student and export tables overridden by the settings."""
    exported = {name: value for name, value in settings.items() if _is_of_export(name)}
    recipe = resolve_recipe(recipe, "export", exported)
    return resolve_recipe(recipe, "student", {name: settings[name] for name in settings if name not in exported})


def _is_of_export(name: str) -> bool:
    """Return True if a setting (or, if misspelt, the nearest one) is a key of the export table only."""
    known = [*StudentRecipe.model_fields, *ExportRecipe.model_fields]
    meant = name if name in known else closest(name, known)
    return meant in ExportRecipe.model_fields and meant not in StudentRecipe.model_fields


def _check_place(out: Path, recipe: Recipe, *, overwrite: bool) -> None:
    """Refuse a contradictory form, or an artifact that must not be replaced, before hours of training."""
    artifact, student = out / "artifact", out / "student"
    form = recipe.export.form
    require_replaceable(artifact)
    if not overwrite:
        trained = str(read_run(student).info["weights_sha256"]) if (student / RUN_FILE).is_file() else None
        refuse_another(artifact, form, trained, trimming=recipe.export.trimming)


def export_student(
    student: Run,
    out: Path,
    recipe: Recipe,
    data: Dataset,
    progress: ProgressFunction | None,
    *,
    overwrite: bool = False,
    trust: bool = False,
    tested: bool = True,
    unlabeled: Unlabeled | None = None,
) -> Artifact:
    """Export a student as the recipe says, or return the artifact in ``out`` if it is the same export already.

    The artifact is measured on the test split. With ``tested=False`` it is not: where one of several artifacts is to be
    chosen, only the chosen one may see the test split.

    Raises:
        ArtifactError: there is an artifact of another form or of other weights, and ``overwrite`` is False.
    """
    settings = recipe.export
    if (out / MANIFEST).is_file():
        stored = read_artifact(out)
        if _is_asked_for(stored.manifest, student, settings):
            return stored
    pool = (unlabeled or unlabeled_once(data, recipe))()
    alone = recipe.student.transfer == "pool"  # the labelled texts are private
    texts = [each for each in (None if alone else data.train, pool) if each is not None]
    return export(
        student,
        out,
        form=settings.form,
        calibrate=pool if alone else data.train,
        vocabulary=settings.vocabulary,
        fill_vocabulary=settings.fill_vocabulary,
        vocabulary_min_count=settings.trimming[2],
        texts=None if settings.vocabulary is None else texts,
        verify=data.validation,
        unlabeled=pool,
        test=data.splits.get("test") if tested else None,
        limits=Limits(accuracy_drop=settings.tolerance / 100),
        overwrite=overwrite,
        trust=trust,
        threads=recipe.student.threads,
        progress=progress,
    )


def _is_asked_for(stored: Manifest, student: Run, settings: ExportRecipe) -> bool:
    """Return True if an artifact has the form and weights that a recipe names, and was judged at least as strictly."""
    checked = stored.verification
    judged = checked.get("limits", {}).get("accuracy_drop", 0.0)
    return (
        stored.form == settings.form
        and trimming_of(stored) == settings.trimming
        and checked.get("weights_sha256") == student.info["weights_sha256"]
        and judged <= settings.tolerance / 100 + 1e-9
    )
