"""Reading an artifact: its folder is found, here or on the hub, its manifest parsed, and its files compared with it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from liteft import untrusted
from liteft.artifact.checks import check_sizes, compare_files, reason_of
from liteft.artifact.folders import find_artifact
from liteft.artifact.loaded import Artifact
from liteft.artifact.manifest import FORMAT, MANIFEST, Manifest
from liteft.errors import ArtifactError, Hint, spelling
from liteft.foreign.folders import RUN_FILE, finished_runs, likely_run, pipelines_in, run_of
from liteft.hub import fetch, hub_name, origin_of
from liteft.run_card import MODEL_LIST

__all__ = ["artifact_folder", "manifest_sizes", "read_artifact"]

_MOST_MANIFEST = 8 << 20  # bytes
_AN_ARTIFACT = {"an artifact": f"a folder with {MANIFEST}, as liteft export writes it"}


def artifact_folder(path: str | os.PathLike[str], *, revision: str | None = None, quiet: bool = False) -> Path:
    """Return the folder of the artifact that a word means; one on the hub is downloaded, unless it was before.

    Args:
        path: a folder, or that of a whole pipeline; or, as a string, a repository on the hub, OWNER/NAME or
            OWNER/NAME@REVISION, if nothing on this machine has that name.
        revision: branch, tag or commit of the repository; None for the main branch.
        quiet: draw no progress bars.

    Raises:
        ConfigError: there is a revision, but no repository.
        HubError: the hub does not have it, refuses or cannot be reached.
        ArtifactError: the repository's manifest does not fit, or it has the model of a run.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    name = hub_name(path, revision=revision)
    if name is None:
        return find_artifact(Path(path))
    return fetch(name, {MANIFEST: manifest_sizes, MODEL_LIST: _refuse_model}, quiet=quiet)


def _refuse_model(folder: Path) -> NoReturn:
    """Refuse a repository that has the model of a run."""
    origin = origin_of(folder)
    raise ArtifactError(
        f"{origin} is the model of a run, not an artifact: it has no {MANIFEST}.",
        accepted=_AN_ARTIFACT,
        fix=Hint(
            f'liteft.export("{origin}", folder, verify=split)', f"liteft export {origin} --out FOLDER --data DATA"
        ),
    )


def manifest_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file that the manifest in a folder lists.

    Raises:
        ArtifactError: the manifest does not fit, or lists files that are larger than any real artifact has.
    """
    manifest = _parse_manifest(folder, _read_manifest(folder))
    check_sizes(folder, manifest)
    return {name: entry.bytes for name, entry in manifest.files.items()}


def read_artifact(
    path: str | Path,
    *,
    revision: str | None = None,
    check_files: bool = True,
    only: Collection[str] | None = None,
) -> Artifact:
    """Return the artifact in a folder, or in a repository on the hub.

    Args:
        path: the folder, or that of a whole pipeline, which contains it as ``artifact``; or OWNER/NAME on the hub.
        revision: branch, tag or commit of the repository.
        check_files: hash every file and compare with the manifest.
        only: names of the files that are wanted, of a folder that need not have the others; None for all.

    Raises:
        ArtifactError: the folder is not an artifact, its format is not the one that this version reads, its manifest
            does not fit, or a file is missing or changed.
        ConfigError, HubError, MissingExtraError: as in `artifact_folder`, for a repository on the hub.
    """
    path = artifact_folder(path, revision=revision)
    content = _read_manifest(path)
    manifest = _parse_manifest(path, content)
    try:
        compare_files(path, manifest, hashing=check_files, only=only)
    except ArtifactError as error:
        origin = origin_of(path)
        if origin is None:
            raise
        raise ArtifactError(
            error.message,
            accepted=error.accepted | {"downloaded from": str(origin)},
            fix=[
                f"remove {path.parents[1]} and load it again, which downloads it anew",
                "tell its owner to push it again",
            ],
        ) from None
    return Artifact(path, manifest)


def _read_manifest(path: Path) -> bytes:
    if not os.path.isdir(path):  # noqa: PTH112  # False, too, for what no path can be
        raise _not_a_folder(path)
    try:
        return untrusted.read_bytes(path / MANIFEST, _MOST_MANIFEST)
    except FileNotFoundError:
        raise _no_manifest(path) from None
    except (OSError, ValueError) as error:
        _refuse_manifest(path, error)


def _not_a_folder(path: Path) -> ArtifactError:
    folder = next((each for each in path.parents[:2] if os.path.isfile(each / MANIFEST)), None)  # noqa: PTH113
    if folder is not None and os.path.isfile(path):  # noqa: PTH113
        return ArtifactError(
            f"{_shown(path)} is a file of an artifact; the artifact is the whole folder.",
            fix=Hint(f'liteft.load("{folder}")', f"give {folder}"),
        )
    return ArtifactError(
        f"{_shown(path)} is not a folder.",
        accepted=_AN_ARTIFACT,
        fix=[spelling(path), Hint("liteft.export(run, folder)", "liteft export RUN --out FOLDER")],
    )


def _no_manifest(path: Path) -> ArtifactError:
    """Return the error for a folder without a manifest; it says what the folder is instead."""
    if runs := finished_runs(path):
        return ArtifactError(
            f"{path} contains runs but no artifact yet.",
            accepted={"runs in it": ", ".join(run.name for run in runs)},
            fix=[
                "run the same liteft distill again: it continues to the artifact",
                f"liteft export {likely_run(runs)} --out {path / 'artifact'}",
            ],
        )
    run = (path / RUN_FILE).is_file()
    if not run and (below := pipelines_in(path)):
        return ArtifactError(
            f"{path} is not an artifact, but contains folders with runs or artifacts.",
            accepted={"folders in it": ", ".join(each.name for each in below)},
            fix=f"give one of them, such as {below[-1]}",
        )
    if not run and not (path / "config.json").is_file():
        return ArtifactError(
            f"{path} is not an artifact: it has no {MANIFEST}, and it contains no model to export.",
            accepted=_AN_ARTIFACT,
            fix="check the spelling",
        )
    kind = "a training run, not an artifact" if run else "not an artifact"
    source = run_of(path) or path
    return ArtifactError(
        f"{path} is {kind}: it has no {MANIFEST}.",
        fix=Hint(f'liteft.export("{source}", folder)', f"liteft export {source} --out FOLDER"),
    )


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        parsed = untrusted.parse_json(content, unique=True)
        untrusted.plain_text(parsed)
    except ValueError as error:
        _refuse_manifest(path, error)
    found = parsed.get("format") if isinstance(parsed, dict) else None
    if type(found) is not int or found != FORMAT:
        raise _other_format(path, found)
    try:
        return Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:80] for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")[:200]
        raise ArtifactError(
            f"{path / MANIFEST} does not fit format {FORMAT}: {f'{where}: ' if where else ''}{reason}.",
            fix="export the model again",
        ) from None


def _other_format(path: Path, found: object) -> ArtifactError:
    earlier = type(found) is int and 0 < found < FORMAT
    return ArtifactError(
        f"{path} has artifact format {repr(found)[:80]}"
        + (", which only development versions wrote." if earlier else "."),
        accepted={"formats that this version reads": FORMAT},
        fix="export the model again" if earlier else "install a newer liteft, or export again with this one",
    )


def _refuse_manifest(path: Path, error: Exception) -> NoReturn:
    raise ArtifactError(
        f"{path / MANIFEST} cannot be read: {reason_of(error)}.", fix="export the model again"
    ) from error


def _shown(path: Path) -> str:
    """Return a path in a form that is safe to print: without control characters, and of bounded length."""
    text = str(path)
    return text if text.isprintable() and len(text) <= 1000 else repr(text[:200])
