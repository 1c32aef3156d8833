"""Decides whether an export may replace an artifact: without ``overwrite``, only one of the same form and weights."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from liteft import files
from liteft.artifact import MANIFEST, Manifest
from liteft.errors import ArtifactError, option
from liteft.finetuning.settings import ModelSettings
from liteft.form import ExportForm

__all__ = ["refuse_another", "trimming_of"]

_TRIMMING = ("vocabulary", "fill_vocabulary", "vocabulary_min_count")
_WAYS_OUT = (option("out", "ANOTHER_FOLDER"), option("overwrite", note=", to replace it"))


def refuse_another(
    out: Path,
    form: ExportForm,
    weights_sha256: str | None,
    settings: ModelSettings | None = None,
    *,
    trimming: tuple[int | None, bool, int] = (None, False, 1),
) -> None:
    """Refuse to replace an artifact by one of another form or of other weights.

    Args:
        out: the artifact's folder; if it has no artifact, nothing is refused.
        form: of the new artifact.
        weights_sha256: of the new artifact's weights; None if they are still to be trained.
        settings: labels, task and limits of the new artifact's model; None if they are not known yet.
        trimming: of the new artifact, as ``ExportRecipe.trimming``.

    Raises:
        ArtifactError: there is another artifact; the error lists what differs.
    """
    if not (out / MANIFEST).is_file():
        return
    try:
        manifest = Manifest.model_validate(files.read_json(out / MANIFEST))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{out / MANIFEST} cannot be read, and would be replaced.", fix=_WAYS_OUT) from error
    before = str(manifest.verification.get("weights_sha256", "unknown"))
    differing = {}
    if before != weights_sha256:
        now = "those of a student that has not been trained yet" if weights_sha256 is None else weights_sha256[:12]
        differing["weights"] = f"{before[:12]} -> {now}"
    differing |= manifest.form.differences(form)
    for name, here, there in zip(_TRIMMING, trimming_of(manifest), trimming, strict=True):
        if here != there:
            differing[name] = f"{here} -> {there}"
    for name in () if settings is None else (field.name for field in fields(settings)):
        value = getattr(settings, name)
        stored = getattr(manifest, name, value)
        if stored != value and not (name == "activation" and value is None):  # only scores choose theirs
            differing[name] = f"{_listed(stored)} -> {_listed(value)}"
    if differing:
        raise ArtifactError(
            f"{out} contains another artifact, which would be replaced.",
            accepted=differing,
            fix=_WAYS_OUT,
        )


def trimming_of(manifest: Manifest) -> tuple[int | None, bool, int]:
    """Return how the export trimmed the vocabulary, as ``ExportRecipe.trimming``; (None, False, 1) if it did not."""
    trimmed = manifest.vocabulary or {}
    if trimmed.get("trimmed") != "at export":
        return None, False, 1
    return trimmed.get("most"), bool(trimmed.get("filled", False)), int(trimmed.get("min_count", 1))


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
