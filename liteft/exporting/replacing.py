"""What may take an artifact's place unasked: the same form of the same weights, and nothing else."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from liteft import files
from liteft.artifact import MANIFEST, MODEL, Manifest
from liteft.config import ExportRecipe
from liteft.errors import ArtifactError, option
from liteft.finetuning.model import ModelSettings

__all__ = ["form_differences", "refuse_another"]

_WAYS_OUT = (option("out", "ANOTHER_FOLDER"), option("overwrite", note=", to replace it"))


def refuse_another(
    out: Path, asked: ExportRecipe, weights_sha256: str | None, settings: ModelSettings | None = None
) -> None:
    """Refuse to replace an artifact by one of another form or of other weights.

    Args:
        out: its folder; where there is no artifact, nothing is refused.
        asked: the form of the new one.
        weights_sha256: of the new one's weights; None where they are still to be trained.
        settings: what the new one reads and says; None where that is not known yet.

    Raises:
        ArtifactError: with what differs.
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
        now = "those of a student that is not trained yet" if weights_sha256 is None else weights_sha256[:12]
        differing["weights"] = f"{before[:12]} -> {now}"
    differing |= form_differences(manifest, asked)
    for name, value in ({} if settings is None else asdict(settings)).items():
        stored = getattr(manifest, name, value)
        if stored != value:
            differing[name] = f"{_listed(stored)} -> {_listed(value)}"
    if differing:
        raise ArtifactError(
            f"{out} holds another artifact, which would be replaced.",
            accepted=differing,
            fix=_WAYS_OUT,
        )


def form_differences(manifest: Manifest, asked: ExportRecipe) -> dict[str, str]:
    """Return in what the form of an artifact differs from the one that is asked for: names and "this -> that"."""
    stored, wanted = _stored(manifest), _wanted(asked)
    if manifest.graph == "traced":  # it is flat whatever was asked for
        stored["flat"] = wanted["flat"]
    if asked.mixed:  # what is kept in float is the export's own choice then
        stored["products in float"] = wanted["products in float"]
        if stored["embedding_bits"] is not None:
            stored["embedding_bits"] = wanted["embedding_bits"]
    if stored["precision"] != wanted["precision"]:
        for name in ("scheme", "calibration", "weight_bits", "embedding_bits", "products in float"):
            stored.pop(name), wanted.pop(name)
    return {name: f"{value} -> {wanted[name]}" for name, value in stored.items() if value != wanted[name]}


def _stored(manifest: Manifest) -> dict[str, Any]:
    int8 = manifest.precision == "int8"
    trimmed = manifest.vocabulary or {}
    at_export = trimmed.get("trimmed") == "at export"
    return {
        "precision": manifest.precision,
        "scheme": manifest.int8_scheme if int8 else None,
        "calibration": (manifest.calibration or {}).get("method"),
        "weight_bits": manifest.weight_bits or 8 if int8 else None,
        "embedding_bits": manifest.embedding_bits or 8 if int8 else None,
        "products in float": len(manifest.float_products),
        "flat": manifest.graph_form == "flat",
        "target": None if manifest.graph_file == MODEL else "edge",
        "vocabulary": trimmed.get("most") if at_export else None,
        "fill_vocabulary": at_export and bool(trimmed.get("filled", False)),
    }


def _wanted(asked: ExportRecipe) -> dict[str, Any]:
    int8 = asked.precision == "int8"
    return {
        "precision": asked.precision,
        "scheme": asked.scheme if int8 else None,
        "calibration": asked.calibration if int8 and asked.scheme == "static" else None,
        "weight_bits": asked.weight_bits if int8 else None,
        "embedding_bits": asked.embedding_bits if int8 else None,
        "products in float": 0,
        "flat": asked.flat or asked.target == "edge",
        "target": asked.target,
        "vocabulary": asked.vocabulary,
        "fill_vocabulary": asked.vocabulary is not None and asked.fill_vocabulary,
    }


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
