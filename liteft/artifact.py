"""The artifact folder: the waist between everything that builds and everything that runs.

It holds a manifest, a tokenizer, an ONNX graph and the two configuration files that transformers users expect.
The manifest names every other file with its size and SHA-256, so a changed byte is found before a text is
classified. Writing goes through ``writing_artifact``: a temporary sibling that takes the old folder's place
only once it is complete. There is no pickle anywhere, and nothing here can run a model.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from liteft import files
from liteft.errors import ArtifactError, ModelError, first_line
from liteft.metrics import Task
from liteft.tokenization import TextTokenizer

__all__ = [
    "FORMAT",
    "Artifact",
    "ArtifactWriter",
    "GraphFile",
    "Manifest",
    "find_artifact",
    "read_artifact",
    "refuse_artifact",
    "require_replaceable",
    "writing_artifact",
]

FORMAT: Final = 1
MANIFEST = "manifest.json"
_RUN = "run.json"
MODEL: Final = "model.onnx"
TOKENIZER = "tokenizer.json"
_BESIDE = (TOKENIZER, "config.json", "tokenizer_config.json", "card.md")
REQUIRED = (MODEL, *_BESIDE)

# The root, or where transformers.js looks for the graph by its precision.
GraphFile = Literal["model.onnx", "onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx"]


class FileEntry(BaseModel):
    """Size in bytes and SHA-256 (hexadecimal) of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What an artifact is: enough to turn text into labelled scores, and to say where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    task: Task
    labels: tuple[str, ...] = Field(min_length=1)
    activation: Literal["softmax", "sigmoid", "none"]
    pooling: Literal["cls", "mean", "last"]
    paired: bool
    max_tokens: int = Field(gt=0)
    truncation_side: Literal["right", "left"]
    pad_id: int = Field(ge=0)
    inputs: tuple[str, ...]
    family: str
    precision: Literal["fp32", "fp16", "int8"]
    int8_scheme: Literal["per_row", "static"] | None = None  # of the products' activations
    weight_bits: Literal[7, 8] | None = None  # of the products' int8 weights; None before there was a choice: 8
    embedding_bits: Literal[4, 8] | None = None  # of an int8 table of words; None before there was a choice: 8
    float_products: dict[str, Literal["weight_only", "float"]] = {}  # of an int8 graph, by name
    calibration: dict[str, Any] | None = None  # of static int8: texts, split, method
    graph: Literal["built", "traced"]
    graph_form: Literal["function", "flat"] = "flat"  # one node, whose definition is a function in the file, or many
    graph_file: GraphFile = "model.onnx"
    files: dict[str, FileEntry]
    metrics: dict[str, Any] = {}
    verification: dict[str, Any] = {}
    vocabulary: dict[str, Any] | None = None  # where it was trimmed: its size, and what is read as before
    teacher: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _check_labels(self) -> Manifest:
        if self.task == "single_label" and len(self.labels) < 2:
            raise ValueError("one label alone is always chosen; a single_label task has two or more")
        return self


@dataclass(frozen=True, slots=True, repr=False)
class Artifact:
    """A checked artifact folder."""

    path: Path
    manifest: Manifest

    def __repr__(self) -> str:
        size = f"{self.size_bytes / 1e6:.1f} MB"
        return f"Artifact({str(self.path)!r}: {self.manifest.precision}, {len(self.manifest.labels)} labels, {size})"

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / self.manifest.graph_file

    @property
    def size_bytes(self) -> int:
        """Bytes of all files, the manifest not counted."""
        return sum(entry.bytes for entry in self.manifest.files.values())

    def check_model(self) -> None:
        """Hash the ONNX file again, before another process of the same program reads it.

        Raises:
            ArtifactError: it is no longer the file that was checked.
        """
        try:
            same = files.sha256_file(self.model_path) == self.manifest.files[self.manifest.graph_file].sha256
        except OSError:
            same = False
        if not same:
            raise ArtifactError(
                f"{self.model_path} was replaced or removed after the parent process loaded it.",
                fix="load the artifact again in this process",
            )

    def tokenizer(self) -> TextTokenizer:
        """Return the tokenizer, cutting as the manifest says."""
        return TextTokenizer.from_file(
            self.path / TOKENIZER,
            max_tokens=self.manifest.max_tokens,
            truncation_side=self.manifest.truncation_side,
            pad_id=self.manifest.pad_id,
        )


def read_artifact(path: str | Path, *, check_files: bool = True) -> Artifact:
    """Return the artifact in a folder.

    Args:
        path: the folder, or that of a whole way, which holds it as ``artifact``.
        check_files: hash every file and compare with the manifest.

    Raises:
        ArtifactError: no artifact, a later format, a missing or changed file, a manifest that does not fit.
    """
    path = find_artifact(path)
    content = _read_manifest(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ArtifactError(
            f"{path} has artifact format {found!r}.",
            accepted={"formats that this version reads": FORMAT},
            fix="install a newer liteft, or export again with this one",
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{path / MANIFEST} does not fit format {FORMAT}: {where}: {first['msg']}.",
            fix="export the model again",
        ) from None
    artifact = Artifact(path, manifest)
    for name in (manifest.graph_file, *_BESIDE):
        if name not in manifest.files:
            raise ArtifactError(f"{path / MANIFEST} does not list {name}.", fix="export the model again")
    for name, entry in manifest.files.items():
        _check_file(path, name, entry, hashing=check_files)
    return artifact


def find_artifact(path: str | Path) -> Path:
    """Return the folder of the artifact that a path means.

    That is the path itself; or ``artifact`` in it, where a whole way left one there and the path is neither an artifact
    nor a run.
    """
    path = Path(path)
    inner = path / "artifact"
    if (path / MANIFEST).is_file() or (path / _RUN).is_file() or not (inner / MANIFEST).is_file():
        return path
    return inner


def refuse_artifact(path: str | Path) -> None:
    """Refuse an artifact, or the folder of a whole way, where a model is wanted.

    Raises:
        ModelError: with the runs that lie there.
    """
    path = Path(path)
    if not (find_artifact(path) / MANIFEST).is_file():
        return
    runs = [run.name for run in _runs_in(path)]
    if (path / MANIFEST).is_file():
        raise ModelError(
            f"{path} is an artifact, which is exported already.",
            fix=["the run or model folder that it was made of", f"liteft predict {path} 'a text'"],
        )
    raise ModelError(
        f"{path} holds an artifact and the runs that it was made of, and is no model itself.",
        accepted={"runs in it": ", ".join(runs) or "none"},
        fix=[f"liteft export {path / run} --out FOLDER" for run in runs if run == "student"] or "name a run's folder",
    )


def _runs_in(path: Path) -> list[Path]:
    """Return the finished runs right below a folder."""
    return sorted(found.parent for found in path.glob(f"*/{_RUN}"))


class ArtifactWriter:
    """A folder that is being filled; ``seal`` writes the manifest over the files in it."""

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
        required = (fields.get("graph_file", MODEL), *_BESIDE)
        for name in required:
            if not (self.folder / name).is_file():
                raise ArtifactError(f"the artifact lacks {name}.", accepted={"needed": ", ".join(required)})
        entries = {
            file.relative_to(self.folder).as_posix(): FileEntry(
                bytes=file.stat().st_size, sha256=files.sha256_file(file)
            )
            for file in sorted(self.folder.rglob("*"))
            if file.is_file() and file.name != MANIFEST
        }
        manifest = Manifest(format=FORMAT, files=entries, **fields)
        # plainly, for the whole folder is replaced at once: an error of the system then names the folder asked for
        content = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        (self.folder / MANIFEST).write_text(content + "\n", encoding="utf-8")
        self.sealed = True
        return manifest


def require_replaceable(path: str | Path) -> None:
    """Refuse a folder that an artifact cannot take the place of without something else being lost.

    That is what holds no artifact, or files beside those that its manifest lists.

    Raises:
        ArtifactError: with what would be lost.
    """
    path = Path(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / MANIFEST).is_file():
        raise ArtifactError(
            f"{path} exists and is no artifact; it would be overwritten.", fix="choose another output folder"
        )
    try:
        own = {MANIFEST, *files.read_json(path / MANIFEST)["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ArtifactError(
            f"{path / MANIFEST} cannot be read, so nobody knows which files of {path} an export wrote.",
            fix=["choose another output folder", f"remove {path}"],
        ) from None
    folders = {parent.as_posix() for name in own for parent in PurePosixPath(name).parents}
    others = sorted(_others(path, path, own, folders))
    if others:
        shown = ", ".join(others[:5]) + (f" and {len(others) - 5:,} more" if len(others) > 5 else "")
        raise ArtifactError(
            f"{path} holds what is no part of the artifact there, and would be lost.",
            accepted={"not in its manifest": shown},
            fix=["move that elsewhere", "choose another output folder"],
        )


def _others(folder: Path, root: Path, own: set[str], folders: set[str]) -> Iterator[str]:
    """Yield the files and folders in ``folder`` that are none of an artifact's own."""
    for entry in folder.iterdir():
        name = entry.relative_to(root).as_posix()
        if name in folders and entry.is_dir() and not entry.is_symlink():
            yield from _others(entry, root, own, folders)
        elif name not in own or entry.is_dir():
            yield name


@contextlib.contextmanager
def writing_artifact(path: str | Path) -> Iterator[ArtifactWriter]:
    """Yield a writer whose folder takes the place of ``path`` when the block ends sealed and without an error.

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
            raise ArtifactError(f"{path} was not sealed: no manifest was written.")


def _read_manifest(path: Path) -> Any:
    if not path.is_dir():
        raise ArtifactError(
            f"{path} is no folder.",
            accepted={"an artifact": f"a folder with {MANIFEST}, as liteft export writes it"},
            fix="liteft export RUN --out FOLDER",
        )
    try:
        return files.read_json(path / MANIFEST)
    except FileNotFoundError:
        runs = [run.name for run in _runs_in(path)]
        if runs:
            raise ArtifactError(
                f"{path} holds runs and no artifact yet.",
                accepted={"runs in it": ", ".join(runs)},
                fix=[
                    "the same liteft distill again: it goes on to the artifact",
                    f"liteft export {path / ('student' if 'student' in runs else runs[-1])} --out {path / 'artifact'}",
                ],
            ) from None
        kind = "a training run, not an artifact" if (path / _RUN).is_file() else "no artifact"
        raise ArtifactError(
            f"{path} is {kind}: it has no {MANIFEST}.", fix=f"liteft export {path} --out FOLDER"
        ) from None
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path / MANIFEST} cannot be read: {first_line(error)}.", fix="export the model again"
        ) from error


def _check_file(path: Path, name: str, entry: FileEntry, *, hashing: bool) -> None:
    file = path / name
    if not file.resolve().is_relative_to(path.resolve()):
        raise ArtifactError(f"{path / MANIFEST} names a file outside its folder: {name}.")
    if not file.is_file():
        raise ArtifactError(f"{path} lacks {name}, which its manifest lists.", fix="copy the whole folder again")
    size = file.stat().st_size
    if size != entry.bytes or (hashing and files.sha256_file(file) != entry.sha256):
        raise ArtifactError(
            f"{file} was changed after the export: its SHA-256 is not the manifest's.",
            accepted={"bytes in the manifest": entry.bytes, "bytes found": size},
            fix="copy the folder again, or export the model again",
        )
