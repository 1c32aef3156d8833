"""Comparing the files of a folder with its manifest, before any of them is used."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from liteft import files, untrusted
from liteft.artifact.manifest import MANIFEST, MOST_GRAPH, FileEntry, Manifest, required_files
from liteft.errors import ArtifactError, first_line

__all__ = ["check_sizes", "compare_files", "reason_of"]

_MOST_FILE = 256 << 20  # bytes of any file but the graph
_MOST_TOGETHER = 4 << 30  # bytes of all files: what is hashed


def compare_files(path: Path, manifest: Manifest, *, hashing: bool, only: Collection[str] | None = None) -> None:
    """Refuse a folder whose files are not exactly those that its manifest lists.

    Args:
        path: the folder.
        manifest: its manifest.
        hashing: compare the SHA-256 of each file, not only its size.
        only: names of the files to compare; None for all.

    Raises:
        ArtifactError: a file is missing from the manifest or from the folder, too large, changed, or a link to a place
            outside the folder.
    """
    for name in required_files(manifest.form):
        if name not in manifest.files:
            raise ArtifactError(f"{path / MANIFEST} does not list {name}.", fix="export the model again")
    check_sizes(path, manifest)
    for name, entry in manifest.files.items():
        if only is not None and name not in only:
            continue
        _check_file(path, name, entry, hashing=hashing)


def check_sizes(path: Path, manifest: Manifest) -> None:
    """Refuse files that are larger than any real artifact has, before they are read."""
    for name, entry in manifest.files.items():
        most = MOST_GRAPH if name == manifest.graph_file else _MOST_FILE
        if entry.bytes > most:
            raise ArtifactError(
                f"{path / MANIFEST} lists {name} with {entry.bytes:,} bytes.",
                accepted={"bytes": f"{most:,} at most"},
                fix="export the model again",
            )
    if (total := sum(entry.bytes for entry in manifest.files.values())) > _MOST_TOGETHER:
        raise ArtifactError(
            f"{path / MANIFEST} lists files of {total:,} bytes.",
            accepted={"bytes": f"{_MOST_TOGETHER:,} at most"},
            fix="export the model again",
        )


def _check_file(path: Path, name: str, entry: FileEntry, *, hashing: bool) -> None:
    file = path / name
    try:
        if not _lies_in(file, path):
            raise ArtifactError(
                f"{path / MANIFEST} names a file that links to a place outside its folder: {name}.",
                fix="copy the folder again, following links",
            )
        size = untrusted.regular_size(file)
        same = size == entry.bytes and (not hashing or untrusted.sha256_of(file, entry.bytes) == entry.sha256)
        pointer = not same and _is_pointer(file)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} lacks {name}, which its manifest lists.", fix="copy the whole folder again"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: of links in a circle
        raise ArtifactError(f"{file} cannot be read: {reason_of(error)}.", fix="copy the whole folder again") from error
    if pointer:
        raise ArtifactError(
            f"{file} is a git-lfs pointer, not the file itself.",
            accepted={"bytes in the manifest": entry.bytes, "bytes found": size},
            fix=f"git lfs pull, in {path}",
        )
    if not same:
        raise ArtifactError(
            f"{file} was changed after the export: its SHA-256 differs from the manifest's.",
            accepted={"bytes in the manifest": entry.bytes, "bytes found": size},
            fix="copy the folder again, or export the model again",
        )


def _lies_in(file: Path, folder: Path) -> bool:
    """Return whether a file is in a folder, or in the hub's cache of a snapshot's files; links are followed.

    That cache keeps the files of a repository beside its snapshots, or those of all repositories in one place.
    """
    target, whole = file.resolve(), folder.resolve()
    repositories = [parent.parent for parent in whole.parents if parent.name == "snapshots"]
    caches = [repository / "blobs" for repository in repositories]
    caches += [each.parent / "blobs" for each in repositories if each.name.startswith("models--")]
    return any(target.is_relative_to(place) for place in (whole, *caches))


def _is_pointer(file: Path) -> bool:
    """Return whether a file is the small text that git-lfs stores in place of a large file."""
    return untrusted.regular_size(file) < 1024 and files.is_lfs_pointer(untrusted.read_bytes(file, 1024))


def reason_of(error: Exception) -> str:
    """Return in one line why a file cannot be read."""
    return files.os_reason(error) if isinstance(error, OSError) else first_line(error)[:200]
