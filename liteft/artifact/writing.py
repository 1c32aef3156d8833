"""Writing an artifact: a temporary folder beside the old one, which takes its place once it is complete."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from liteft import files
from liteft.artifact.manifest import MANIFEST, FileEntry, Manifest, required_files
from liteft.errors import ArtifactError

__all__ = ["ArtifactWriter", "require_replaceable", "writing_artifact"]


class ArtifactWriter:
    """A folder that is being filled; ``seal`` writes the manifest that lists its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sealed = False

    def seal(self, **fields: Any) -> Manifest:
        """Write the manifest: ``fields`` are Manifest's, without ``format`` and ``files``.

        May be called again, after a file or a metric has changed.

        Raises:
            ArtifactError: a required file is missing.
            pydantic.ValidationError: a field is missing, unknown or of the wrong type (a caller's mistake).
        """
        required = required_files(fields["form"])
        for name in required:
            if not (self.folder / name).is_file():
                raise ArtifactError(
                    f"the artifact lacks {name}.",
                    accepted={"needed": ", ".join(required)},
                    fix="liteft.export, which writes all of them",
                )
        entries = {
            file.relative_to(self.folder).as_posix(): FileEntry(
                bytes=file.stat().st_size, sha256=files.sha256_file(file)
            )
            for file in sorted(self.folder.rglob("*"))
            if file.is_file() and file != self.folder / MANIFEST
        }
        manifest = Manifest(files=entries, **fields)
        # plainly, for the whole folder is replaced at once: an error of the system then names the folder asked for
        content = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        (self.folder / MANIFEST).write_text(content + "\n", encoding="utf-8")
        self.sealed = True
        return manifest


def require_replaceable(path: str | Path) -> None:
    """Refuse a folder whose replacement by an artifact would lose something else.

    Such a folder is not an artifact, or has files that its manifest does not list.

    Raises:
        ArtifactError: something would be lost; the message names it.
    """
    path = Path(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / MANIFEST).is_file():
        raise ArtifactError(
            f"{path} exists, is not an artifact, and would be overwritten.", fix="choose another output folder"
        )
    try:
        own = {MANIFEST, *files.read_json(path / MANIFEST)["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(
            f"{path / MANIFEST} cannot be read, so it is unknown which files of {path} an export wrote.",
            fix=["choose another output folder", f"remove {path}"],
        ) from None
    folders = {parent.as_posix() for name in own for parent in PurePosixPath(name).parents}
    others = sorted(_others(path, path, own, folders))
    if others:
        shown = ", ".join(others[:5]) + (f" and {len(others) - 5:,} more" if len(others) > 5 else "")
        raise ArtifactError(
            f"{path} contains files that are not part of the artifact there and would be lost.",
            accepted={"not in its manifest": shown},
            fix=["move that elsewhere", "choose another output folder"],
        )


def _others(folder: Path, root: Path, own: set[str], folders: set[str]) -> Iterator[str]:
    """Yield the names of the files and folders in ``folder`` that do not belong to the artifact."""
    for entry in folder.iterdir():
        name = entry.relative_to(root).as_posix()
        if name in folders and entry.is_dir() and not entry.is_symlink():
            yield from _others(entry, root, own, folders)
        elif name not in own or entry.is_dir():
            yield name


@contextlib.contextmanager
def writing_artifact(path: str | Path) -> Iterator[ArtifactWriter]:
    """Yield a writer whose folder replaces ``path`` if it is sealed and the block ends without an error.

    Raises:
        ArtifactError: the system refuses to write, something would be lost (`require_replaceable`), or the block ended
            without ``seal``.
        RunError: another process writes there.
    """
    target = Path(path)
    require_replaceable(target)
    with files.writing_folder(target, kind=ArtifactError) as folder:
        writer = ArtifactWriter(folder)
        yield writer
        if not writer.sealed:
            raise ArtifactError(
                f"{path} was not sealed: no manifest was written.", fix="call seal before the block ends"
            )
