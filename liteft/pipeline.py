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

from liteft.artifact import MANIFEST, MODEL, Artifact, read_artifact
from liteft.config import Recipe
from liteft.data import Dataset, load_unlabeled
from liteft.distillation import distill_all
from liteft.distillation.teachers import open_teacher, with_labels
from liteft.errors import ConfigError
from liteft.exporting import Limits, check_form, export
from liteft.finetuning import finetune
from liteft.finetuning.teacher import resolve_data
from liteft.run import Run

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
    progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Go the whole way, or a part of it.

    Args:
        recipe: every setting.
        out: the folder of all runs and of the artifact.
        teacher: a base to fine-tune, a finished run, or a classifier's folder.
        data: the data set; None reads what the recipe's ``[data]`` table names.
        until: the last step.
        progress: called with a line of text now and then.

    Raises:
        ConfigError: no data were named.
        LiteftError: whatever a step is refused for; what was finished before stays.
    """
    if data is None:
        if recipe.data.source is None:
            raise ConfigError("no data were named.", fix="--data FILE_OR_FOLDER")
        data = resolve_data(recipe.data.source, recipe)
    dataset = data
    if until == "artifact":  # before hours of training
        form = recipe.export
        check_form(
            form.precision, form.scheme, form.weight_bits, form.embedding_bits, form.calibration, form.mixed
        )

    def finetuned(base: str) -> Run:
        return finetune(base, dataset, out=out / "teacher", recipe=recipe, progress=progress)

    if until == "teacher":
        opened = open_teacher(teacher, finetune=finetuned)
        return Outcome(opened.run, (), (), None, dataset)
    made = distill_all(
        teacher, dataset, out=out / "student", teacher_out=out / "teacher", recipe=recipe, progress=progress
    )
    dataset = with_labels(dataset, made.teacher)
    artifact = None
    if until == "artifact":
        artifact = export_student(made.students[0], out / "artifact", recipe, dataset, progress)
    return Outcome(made.teacher.run, made.students, made.controls, artifact, dataset)


def export_student(
    student: Run, out: Path, recipe: Recipe, data: Dataset, progress: Callable[[str], None] | None
) -> Artifact:
    """Export a student, unless the artifact at hand was made of the same weights as the recipe says."""
    settings = recipe.export
    if (out / MANIFEST).is_file():
        stored = read_artifact(out)
        manifest = stored.manifest
        same = manifest.verification.get("weights_sha256") == student.info["weights_sha256"]
        edge = settings.target == "edge"
        as_asked = manifest.graph == "traced" or (manifest.graph_form == "flat") == (settings.flat or edge)
        as_asked = as_asked and (manifest.graph_file != MODEL) == edge
        int8 = settings.precision == "int8"
        stored_form = (manifest.int8_scheme, manifest.weight_bits or 8, manifest.embedding_bits or 8)
        scheme = stored_form == (settings.scheme, settings.weight_bits, settings.embedding_bits)
        method = settings.scheme != "static" or (manifest.calibration or {}).get("method") == settings.calibration
        as_asked &= not int8 or (scheme and method and (settings.mixed or not manifest.float_products))
        passed = manifest.verification.get("limits", {}).get("accuracy_drop", 0.0)
        as_asked &= passed <= settings.max_drop / 100 + 1e-9  # a stricter gate may refuse what a laxer one passed
        trimmed = manifest.vocabulary or {}
        budget = trimmed.get("most") if trimmed.get("trimmed") == "at export" else None
        as_asked &= budget == settings.vocabulary and (
            budget is None or trimmed.get("filled", False) == settings.fill_vocabulary
        )
        if same and as_asked and manifest.precision == settings.precision:
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
        limits=Limits(accuracy_drop=settings.max_drop / 100),
        progress=progress,
    )
