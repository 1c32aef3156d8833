"""Latency of an artifact on this machine, of a finished student or of a shape before its training.

Latency does not depend on the values of the weights, so an untrained student is exported, timed and deleted. That
temporary artifact is not verified (an untrained model would not pass) and never leaves the search.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from liteft import files
from liteft.artifact import MODEL, writing_artifact
from liteft.data import Split
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.folder import manifest_fields, save_model, seal, write_companions
from liteft.exporting.quantization import Int8Plan
from liteft.finetuning.model import TorchClassifier
from liteft.form import ExportForm
from liteft.report.subjects import find_subjects
from liteft.report.workers import open_workers, time_workers, write_texts

__all__ = ["latency_ms", "untrained_latency_ms", "write_untrained"]

_TEXTS = 512
_ROUNDS, _SECONDS = 3, 0.5


def latency_ms(artifact: Path, split: Split, *, threads: int, trust: bool = False) -> float:
    """Return the latency of one text from text to label, in milliseconds.

    It is the median over three rounds of the median over 100 texts or more, measured in a separate process that loads
    the artifact as a service would.

    Args:
        artifact: the artifact's folder.
        split: the texts to time; up to 512 of them, evenly spaced.
        threads: threads of the engine.
        trust: as in ``liteft.load``.
    """
    sample = split.take(np.linspace(0, len(split), min(len(split), _TEXTS), endpoint=False).astype(np.int64))

    def quiet(_line: str) -> None:
        """Discard the progress of the timing: the search reports its own."""

    with (
        files.temporary_folder() as folder,
        open_workers(find_subjects([artifact]), threads=threads, device="cpu", trust=trust, progress=quiet) as workers,
    ):
        texts = write_texts(folder / "texts.json", sample)
        (speed,) = time_workers(workers, texts, rounds=_ROUNDS, seconds=_SECONDS, progress=quiet)
    return speed.p50_ms


def untrained_latency_ms(
    student: TorchClassifier, form: ExportForm, split: Split, *, threads: int, trust: bool = False
) -> float:
    """Return the latency of one text in milliseconds, measured with a student's untrained weights.

    The vocabulary is not trimmed: looking up a row takes the same time in a table of any size.

    Args:
        student: the student before its training.
        form: the export form; int8 is timed with one scale per token (per row), whatever scheme the form has.
        split, threads, trust: as for ``latency_ms``.
    """
    with files.temporary_folder() as folder:
        out = folder / "artifact"
        write_untrained(student, form, out)
        return latency_ms(out, split, threads=threads, trust=trust)


def write_untrained(student: TorchClassifier, form: ExportForm, out: Path) -> None:
    """Write an artifact of an untrained student without verifying it.

    Args:
        student, form: as for ``untrained_latency_ms``.
        out: the artifact's folder.
    """
    if student.config.pad_token_id is None:
        student.config.pad_token_id = student.tokenizer.pad_id
    form = replace(form, scheme=None, calibration=None, mixed=False, target=None)  # no calibration
    blueprint = Blueprint(student)
    model = blueprint.model(form.precision, Int8Plan(form), flat=bool(form.flat))
    with writing_artifact(out) as writer:
        save_model(model, writer.folder / MODEL)
        write_companions(student, writer.folder)
        fields = manifest_fields(student, None, form, model, traced=blueprint.traced)
        seal(writer, fields | {"verification": {}}, "Not trained")
