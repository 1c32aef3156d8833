"""``push_to_hub``: a run or an artifact by its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Unpack

from liteft.arguments import require_path
from liteft.artifact import MANIFEST, Artifact, find_artifact, read_artifact
from liteft.hub import Pushed, PushOptions
from liteft.run import Run, read_run

__all__ = ["push_to_hub"]


def push_to_hub(path: str | os.PathLike[str] | Run | Artifact, repo: str, **options: Unpack[PushOptions]) -> Pushed:
    """Push an artifact, or the model of a run, to a repository on the Hugging Face hub.

    What is pushed is what the artifact's manifest lists, or the model of the run as transformers reads it, each file
    compared with its hash before; and README.md, a model card whose metadata have the measured metrics. No text, log,
    prediction or checkpoint is pushed.

    Args:
        path: a run or an artifact, its folder, or the folder of a whole pipeline, whose artifact is pushed.
        repo: OWNER/NAME. It is made, private unless ``private=False``, if it is new.
        **options: ``license``, which is required, and the others of `liteft.hub.PushOptions`: ``language``,
            ``dataset``, ``base_model``, ``private``, ``revision``, ``commit_message``, ``create_pr``, ``token``,
            ``dry_run``, ``quiet``.

    Returns:
        What was pushed, with the commit and the model card.

    Raises:
        ArtifactError, RunError: the folder is neither, or a file was changed.
        ModelError: the run is an adapter on a base that is only on this machine.
        ConfigError: there is no license, or a name is not one that the hub takes.
        HubError: the hub refuses or cannot be reached, or the repository is public and ``private`` was asked for.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    require_path("path", path, kinds=(Run, Artifact), accepted="a run, an artifact, or the folder of one")
    if isinstance(path, Run | Artifact):
        return path.push_to_hub(repo, **options)
    folder = find_artifact(Path(path))
    if (folder / MANIFEST).is_file():
        return read_artifact(folder, check_files=False).push_to_hub(repo, **options)  # which hashes them
    return read_run(folder).push_to_hub(repo, **options)
