"""What a worker on another machine does: unpack the artifact, keep its model, score a unit."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from liteft.bulk.job import Job, artifact_hash, score_unit
from liteft.bulk.plan import Unit
from liteft.errors import ArtifactError
from liteft.runtime.classifier import load
from liteft.runtime.scored_blocks import Counts
from liteft.runtime.scored_kinds import Model

__all__ = ["kept_model", "packed", "score_remotely"]

_models: dict[tuple[Any, ...], Model] = {}


def packed(job: Job) -> dict[str, bytes]:
    """Return the files of the job's artifact: path in its folder -> content."""
    folder = Path(job.artifact)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def score_remotely(
    job: Mapping[str, Any], artifact: Mapping[str, bytes], unit: Mapping[str, Any], threads: int
) -> dict[str, Any]:
    """Score a unit; returns {"counts": ...} or {"failure": ...}, as JSON values.

    Args:
        job: of `Job.to_dict`.
        artifact: of `packed`.
        unit: of `Unit.to_dict`.
        threads: of the model.
    """
    given = Job(**job)
    classifier = kept_model(str(_unpacked(given.sha256, artifact)), threads=threads, **given.loading)
    if artifact_hash(classifier) != given.sha256:  # the folder is in a place that others may write to
        raise ArtifactError(f"{classifier.path} holds another artifact than the job's.", fix="remove that folder")
    result = score_unit(given, Unit.of(dict(unit)), classifier)
    return {"counts": asdict(result)} if isinstance(result, Counts) else {"failure": result.to_dict()}


def kept_model(path: str, **loading: Any) -> Model:
    """Return an artifact's model, loaded once in this process; the arguments are those of ``load``."""
    key = (path, *sorted(loading.items()))
    if key not in _models:
        _models.clear()  # another job's
        _models[key] = load(path, **loading)
    return _models[key]


def _unpacked(sha256: str, artifact: Mapping[str, bytes]) -> Path:
    """Return a folder of this machine with the artifact's files; ``load`` checks them."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"liteft-artifact-{user}-{sha256[:32]}"
    if folder.is_dir():
        return folder
    aside = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")
    for name, content in artifact.items():
        (aside / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (aside / name).write_bytes(content)
    try:
        aside.rename(folder)
    except OSError:  # another worker of this machine was first
        shutil.rmtree(aside, ignore_errors=True)
    return folder
