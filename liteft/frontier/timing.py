"""How fast an artifact is on this machine: of a finished student, and of a shape before it is trained.

Time does not depend on what weights are, so a shape is measured as it is cut out of its teacher, exported and thrown
away. Such an artifact never leaves the search: it is not verified, and would not pass.
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
    """Return the milliseconds that one text takes, from text to label.

    It is the median over three rounds of the median over 100 texts or more, in a process of its own, which loads the
    artifact as a service would.

    Args:
        artifact: its folder.
        split: the texts; up to 512 of them, evenly spaced.
        threads: of the engine.
        trust: as in ``liteft.load``.
    """
    sample = split.take(np.linspace(0, len(split), min(len(split), _TEXTS), endpoint=False).astype(np.int64))

    def quiet(_line: str) -> None:
        """A search has enough to say."""

    with (
        files.temporary_folder() as folder,
        open_workers(find_subjects([artifact]), threads=threads, device="cpu", trust=trust, progress=quiet) as workers,
    ):
        texts = write_texts(folder / "texts.json", sample.texts, sample.pairs)
        (speed,) = time_workers(workers, texts, rounds=_ROUNDS, seconds=_SECONDS, progress=quiet)
    return speed.p50_ms


def untrained_latency_ms(
    student: TorchClassifier, form: ExportForm, split: Split, *, threads: int, trust: bool = False
) -> float:
    """Return the milliseconds that one text will take, measured with the weights that a student starts from.

    Args:
        student: as it is before its training.
        form: of the artifact; int8 has a scale for each token, whatever the form says. The vocabulary is not trimmed:
            one row of a table is read as fast as another.
        split, threads, trust: as for ``latency_ms``.
    """
    with files.temporary_folder() as folder:
        out = folder / "artifact"
        write_untrained(student, form, out)
        return latency_ms(out, split, threads=threads, trust=trust)


def write_untrained(student: TorchClassifier, form: ExportForm, out: Path) -> None:
    """Write an artifact without verifying it.

    Args:
        student, form: as for ``untrained_latency_ms``.
        out: its folder.
    """
    if student.config.pad_token_id is None:
        student.config.pad_token_id = student.tokenizer.pad_id
    form = replace(form, scheme=None, calibration=None, mixed=False, target=None)  # nothing is calibrated for it
    blueprint = Blueprint(student)
    model = blueprint.model(form.precision, Int8Plan(form), flat=bool(form.flat))
    with writing_artifact(out) as writer:
        save_model(model, writer.folder / MODEL)
        write_companions(student, writer.folder)
        fields = manifest_fields(student, None, form, model, traced=blueprint.traced)
        seal(writer, fields | {"verification": {}}, "Not trained")
