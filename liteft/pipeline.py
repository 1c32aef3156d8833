"""The whole way: data -> teacher -> student -> verified artifact, in one folder.

    OUT/teacher                  the fine-tuned base
    OUT/student, -seed1, ...     the students, one a seed
    OUT/student-control, ...     their controls, where asked for
    OUT/artifact                 the first student, exported and verified

Every step is one of the public verbs and can be run alone. The same call again goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from liteft.artifact import MANIFEST, Artifact, read_artifact, require_replaceable
from liteft.config import Recipe, require_student
from liteft.data import Dataset, load_unlabeled
from liteft.data.trainable import resolve_data
from liteft.distillation import distill_all
from liteft.distillation.teachers import Base, Teacher, find_teacher, with_labels
from liteft.errors import ConfigError, option
from liteft.exporting import Limits, check_form, export, form_differences, refuse_another
from liteft.finetuning import finetune
from liteft.run import RUN_FILE, Run, read_run

__all__ = ["Outcome", "export_student", "run_pipeline"]

Until = Literal["teacher", "student", "artifact"]


@dataclass(frozen=True)
class Outcome:
    """What the whole way made.

    Attributes:
        teacher: its run; None where a classifier from elsewhere taught.
        students: one a seed; empty where the way ended before.
        controls: one a seed, or none.
        artifact: of the first student; None where the way ended before.
        dataset: what all were trained on.
    """

    teacher: Run | None
    students: tuple[Run, ...]
    controls: tuple[Run, ...]
    artifact: Artifact | None
    dataset: Dataset


def run_pipeline(
    recipe: Recipe,
    *,
    out: Path,
    teacher: str | Path,
    data: Dataset | None = None,
    until: Until = "artifact",
    overwrite: bool = False,
    trust: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Go the whole way, or a part of it.

    Args:
        recipe: every setting.
        out: the folder of all runs and of the artifact.
        teacher: a base to fine-tune, a finished run, or a classifier's folder.
        data: the data set; None reads what the recipe's ``[data]`` table names.
        until: the last step.
        overwrite: replace an artifact of another form or of another student.
        trust: of the artifact, as in ``liteft.export``.
        progress: called with a line of text now and then.

    Raises:
        ConfigError: no data were named.
        LiteftError: whatever a step is refused for; what was finished before stays.
    """
    if until != "teacher":
        require_student(recipe.student)
    if data is None:
        if recipe.data.source is None:
            raise ConfigError("no data were named.", fix=option("data", "FILE_OR_FOLDER"))
        data = resolve_data(recipe.data.source, recipe)
    dataset = data
    if until == "artifact":  # before hours of training
        form = recipe.export
        check_form(form.precision, form.scheme, form.weight_bits, form.embedding_bits, form.calibration, form.mixed)
        _check_place(out, recipe, overwrite=overwrite)
    if until == "teacher":
        found = find_teacher(teacher, dataset=dataset, recipe=recipe, progress=progress)
        if isinstance(found, Base):
            found = Teacher.of(finetune(found.name, dataset, out=out / "teacher", recipe=recipe, progress=progress))
        return Outcome(found.run, (), (), None, dataset)
    made = distill_all(
        teacher, dataset, out=out / "student", teacher_out=out / "teacher", recipe=recipe, progress=progress
    )
    dataset = with_labels(dataset, made.teacher)
    artifact = None
    if until == "artifact":
        artifact = export_student(
            made.students[0], out / "artifact", recipe, dataset, progress, overwrite=overwrite, trust=trust
        )
    return Outcome(made.teacher.run, made.students, made.controls, artifact, dataset)


def _check_place(out: Path, recipe: Recipe, *, overwrite: bool) -> None:
    """Refuse an artifact that would have to be replaced, before hours of training."""
    artifact, student = out / "artifact", out / "student"
    require_replaceable(artifact)
    if not overwrite:
        trained = str(read_run(student).info["weights_sha256"]) if (student / RUN_FILE).is_file() else None
        refuse_another(artifact, recipe.export, trained)


def export_student(
    student: Run,
    out: Path,
    recipe: Recipe,
    data: Dataset,
    progress: Callable[[str], None] | None,
    *,
    overwrite: bool = False,
    trust: bool = False,
    tested: bool = True,
) -> Artifact:
    """Export a student, unless the artifact at hand was made of the same weights as the recipe says.

    The artifact is measured on the test split, unless ``tested`` is False: of several that one is chosen from, the test
    split is for the chosen one.

    Raises:
        ArtifactError: there is an artifact of another form or of other weights, and ``overwrite`` is False.
    """
    settings = recipe.export
    if (out / MANIFEST).is_file():
        stored = read_artifact(out)
        checked = stored.manifest.verification
        same = checked.get("weights_sha256") == student.info["weights_sha256"]
        # a stricter gate may refuse what a laxer one passed
        as_strict = checked.get("limits", {}).get("accuracy_drop", 0.0) <= settings.tolerance / 100 + 1e-9
        if same and as_strict and not form_differences(stored.manifest, settings):
            return stored
    unlabeled = None if recipe.student.unlabeled is None else load_unlabeled(recipe.student.unlabeled)
    texts = [each for each in (data.train, unlabeled) if each is not None]
    return export(
        student,
        out,
        precision=settings.precision,
        scheme=settings.scheme,
        weight_bits=settings.weight_bits,
        embedding_bits=settings.embedding_bits,
        calibrate=data.train,
        calibration=settings.calibration,
        mixed=settings.mixed,
        flat=settings.flat,
        vocabulary=settings.vocabulary,
        fill_vocabulary=settings.fill_vocabulary,
        texts=None if settings.vocabulary is None else texts,
        target=settings.target,
        verify=data.validation,
        unlabeled=unlabeled,
        test=data.splits.get("test") if tested else None,
        limits=Limits(accuracy_drop=settings.tolerance / 100),
        overwrite=overwrite,
        trust=trust,
        progress=progress,
    )
