"""Repositories on the hub that may have either of the two: an artifact, or the model of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from liteft.artifact.manifest import MANIFEST
from liteft.artifact.reading import manifest_sizes
from liteft.hub import fetch, hub_name
from liteft.run_card import MODEL_LIST, check_listed, listed_files

__all__ = ["local_model"]

_Source = TypeVar("_Source")


def local_model(source: _Source) -> _Source | Path:
    """Return the folder in the hub's cache of what a name on the hub means; anything else as it is.

    An artifact's files are hashed when it is read, those of a model here.

    Raises:
        HubError: the hub does not have it, refuses or cannot be reached; or neither was pushed there by LiteFT.
        ModelError, ArtifactError: what lists its files does not fit, or a file of a model was changed.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    name = hub_name(source)
    if name is None:
        return source
    folder = fetch(name, {MANIFEST: manifest_sizes, MODEL_LIST: _model_sizes})
    if not (folder / MANIFEST).is_file():
        check_listed(folder)
    return folder


def _model_sizes(folder: Path) -> dict[str, int]:
    return {name: size for name, (size, _) in listed_files(folder).items()}
