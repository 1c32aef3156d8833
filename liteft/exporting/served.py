"""The model repository for Triton in an artifact that is exported for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from liteft.artifact import read_artifact
from liteft.data import Split
from liteft.errors import ModelError, leave_out
from liteft.triton.parts import FOLDER
from liteft.triton.repository import fill_repository, model_name

__all__ = ["add_repository"]


def add_repository(
    folder: Path,
    out: Path,
    verify: Split,
    *,
    guarded: bool,
    threads: int | None,
    progress: Callable[[str], None] | None,
) -> None:
    """Write a repository into the folder of an artifact that is sealed, and will be sealed again.

    Args:
        folder: the artifact's, where it is written.
        out: the artifact's, where it will be: the last resort for a model's name.
        verify: texts on which the repository and the artifact are compared.
        guarded: the artifact is loaded by who trusts it alone.
        threads, progress: as of ``export``.

    Raises:
        ModelError: it is guarded, and a model in Triton trusts nobody.
        VerificationError, ConfigError, DeviceError: as of ``export_triton``.
    """
    if guarded:
        raise ModelError(
            f"{out} would be loaded by who trusts it alone, which no model in Triton can say.", fix=leave_out("target")
        )
    artifact = read_artifact(folder, check_files=False)  # the gate has just read all of it
    name = model_name(artifact.manifest, out)
    fill_repository(artifact, folder / FOLDER, verify=verify, name=name, threads=threads, progress=progress)
