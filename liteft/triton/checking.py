"""A repository that was written: what it is, and whether its files are still those that were written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteft import files, untrusted
from liteft.errors import ArtifactError
from liteft.results import Result

__all__ = ["LISTING", "TritonRepository", "list_files", "read_repository"]

LISTING = "liteft.json"
_MOST_LISTING = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class TritonRepository(Result):
    """A model repository for Triton Inference Server.

    Attributes:
        path: its folder.
        name: of the model that clients ask.
        kind: "python" or "ensemble".
        models_path: the folder's path where Triton runs.
        library: path of libliteft there, as the configuration names it; None where the repository has none.
        verified: what was compared with the artifact, and on how many texts.
        files: SHA-256 by path.
    """

    path: Path
    name: str
    kind: str
    models_path: str
    library: str | None
    verified: dict[str, Any]
    files: dict[str, str]

    def __fspath__(self) -> str:
        return str(self.path)

    def render(self) -> str:
        """Return lines: what was written, what was compared, and how to start it."""
        models = sorted({name.split("/")[0] for name in self.files if "/" in name})
        return "\n".join(
            [
                f"{self.path}: a model repository for Triton, {self.kind}, models {', '.join(models)}",
                f"verified: {self.verified['text']}; not run in a Triton server",
                f"Triton reads it where it is {self.models_path}; its README.md says how to start and how to ask",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "path": str(self.path),
            "name": self.name,
            "kind": self.kind,
            "models_path": self.models_path,
            "library": self.library,
            "verified": self.verified,
            "files": self.files,
        }

    def changed(self) -> list[str]:
        """Return what differs from what was written: files that are missing, changed or not listed, in words."""
        found = list_files(self.path)
        other = [name for name in sorted(self.files) if found.get(name, self.files[name]) != self.files[name]]
        return [
            *(f"{name} is missing" for name in sorted(self.files.keys() - found.keys())),
            *(f"{name} was changed" for name in other),
            *(f"{name} was not written by LiteFT" for name in sorted(found.keys() - self.files.keys())),
        ]


def read_repository(path: Path) -> TritonRepository:
    """Return the repository in a folder; its files are not compared yet.

    Raises:
        ArtifactError: the folder is not one that LiteFT wrote, or its list cannot be read.
    """
    try:
        content = untrusted.parse_json(untrusted.read_bytes(path / LISTING, _MOST_LISTING), unique=True)
        listed = content["files"]
        fields = {name: content[name] for name in ("name", "kind", "models_path", "library", "verified")}
        if not all(isinstance(each, str) for each in (*listed, *listed.values())):
            raise ValueError("a file has no SHA-256")
        return TritonRepository(path=path, files=listed, **fields)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} is not a model repository that LiteFT wrote: it has no {LISTING}.",
            fix="liteft export RUN --target triton --out FOLDER, which writes one to FOLDER/triton",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path / LISTING} cannot be read.", fix="export the model again") from error


def list_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder but the list itself, by path; Python's caches are left out."""
    return {
        path.relative_to(folder).as_posix(): files.sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / LISTING and path.parent.name != "__pycache__"
    }
