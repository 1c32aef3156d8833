"""The artifact folder: the waist between everything that builds and everything that runs.

It holds a manifest, a tokenizer, an ONNX graph and the two configuration files that transformers users expect.
The manifest names every other file with its size and SHA-256, so a changed byte is found before a text is
classified. Writing goes through ``writing_artifact``: a temporary sibling that takes the old folder's place
only once it is complete. There is no pickle anywhere, and nothing here can run a model.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal, NoReturn, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from liteft import files, untrusted
from liteft.errors import ArtifactError, ConfigError, Hint, ModelError, first_line
from liteft.foreign.folders import RUN_FILE, finished_runs, likely_run
from liteft.form import ExportForm, Precision
from liteft.results import Result
from liteft.tasks import Task, TaskName, task_named
from liteft.text_tables import share
from liteft.tokenization import TextTokenizer
from liteft.untrusted.patterns import UnknownPattern
from liteft.untrusted.tokenizer import checked_tokenizer

__all__ = [
    "FORMAT",
    "Artifact",
    "ArtifactWriter",
    "Fallback",
    "Manifest",
    "find_artifact",
    "graph_file",
    "read_artifact",
    "refuse_artifact",
    "require_replaceable",
    "writing_artifact",
]

FORMAT: Final = 1
MANIFEST = "manifest.json"
MODEL: Final = "model.onnx"
TOKENIZER = "tokenizer.json"
_BESIDE = (TOKENIZER, "config.json", "tokenizer_config.json", "card.md")
REQUIRED = (MODEL, *_BESIDE)

# Where transformers.js looks for the graph by its precision: under dtype "fp32", "fp16" and "q8".
_EDGE_GRAPHS: dict[Precision, str] = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_quantized.onnx",
}

Fallback = Literal["weight_only", "float", "8 bits"]
"""Of a product of an int8 graph: int8 weights multiplied in float, or float weights; of 4-bit words: 8 bits."""


_MOST_MANIFEST = 8 << 20  # bytes
_MOST_GRAPH = (1 << 31) - 1  # bytes: protobuf reads no more
_MOST_FILE = 256 << 20  # bytes of any other file
_MOST_TOGETHER = 4 << 30  # bytes of all files: what is hashed
_MOST_FILES = 1000


def _file_name(name: str) -> str:
    """Return a name of a file below the folder, whatever system the folder is on. Raises ValueError."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or len(parts) > 8:
        raise ValueError(f"{name[:80]!r} is not the name of a file in the folder")
    if any(character in name for character in ("\0", "\\", ":")):
        raise ValueError(f"{name[:80]!r} is not a file name that every system accepts")
    return name


def _different(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("one of them occurs twice")
    return values


def _checked_form(value: Any, read: ValidatorFunctionWrapHandler) -> ExportForm:
    """Return the form that a manifest holds. Raises ValueError where its settings exclude each other."""
    try:
        return cast("ExportForm", read(value))
    except ConfigError as error:
        raise ValueError(error.message) from None


StoredForm = Annotated[ExportForm, WrapValidator(_checked_form)]
FileName = Annotated[str, Field(max_length=1024), AfterValidator(_file_name)]
Label = Annotated[str, Field(max_length=10_000)]
Names = Annotated[tuple[str, ...], AfterValidator(_different)]


def graph_file(form: ExportForm) -> str:
    """Return where the folder of an artifact of this form has its graph."""
    return MODEL if form.target is None else _EDGE_GRAPHS[form.precision]


class FileEntry(BaseModel):
    """Size in bytes and SHA-256 (hexadecimal) of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bytes: int = Field(ge=0, le=_MOST_GRAPH)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def _stored_task(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The task of a name, written as its name."""
    return core_schema.no_info_after_validator_function(
        task_named, handler(TaskName), serialization=core_schema.to_string_ser_schema()
    )


StoredTask = Annotated[Task, GetPydanticSchema(_stored_task)]


class Manifest(BaseModel):
    """What an artifact is: enough to turn text into labelled scores, and to say where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    task: StoredTask
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=100_000), AfterValidator(_different)]
    activation: Literal["softmax", "sigmoid", "none"]
    pooling: Literal["cls", "mean", "last"]
    paired: bool
    max_tokens: int = Field(gt=0, le=1 << 20)
    truncation_side: Literal["right", "left"]
    pad_id: int = Field(ge=0, lt=1 << 31)
    positions: int | None = Field(default=None, gt=0)  # most tokens that there are positions for
    embedding_rows: int | None = Field(default=None, gt=0)  # where the tokenizer may give ids beyond
    inputs: Names
    family: str
    form: StoredForm  # as it was asked for
    fallbacks: dict[str, Fallback] = {}  # what ``form.mixed`` left out of it, by the name of its weights
    calibration: dict[str, Any] | None = None  # of static int8: texts, split, percentile
    graph: Literal["built", "traced"]
    files: dict[FileName, FileEntry] = Field(max_length=_MOST_FILES)
    metrics: dict[str, Any] = {}  # of the model in torch, by split
    measured: dict[str, dict[str, Any]] = {}  # of this artifact, by split and backend
    verification: dict[str, Any] = {}
    vocabulary: dict[str, Any] | None = None  # where it was trimmed: its size, and what is read as before
    teacher: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    versions: dict[str, str] = {}

    @property
    def graph_file(self) -> str:
        """The graph's path in the folder."""
        return graph_file(self.form)

    @property
    def one_node(self) -> bool:
        """Whether the graph is one node, whose definition is a function in the file, instead of many."""
        return self.graph == "built" and not self.form.flat

    @model_validator(mode="after")
    def _check_labels(self) -> Manifest:
        if len(self.labels) < self.task.fewest_labels:
            raise ValueError(f"a {self.task} task needs two or more labels; one alone would always be chosen")
        return self


@dataclass(frozen=True, slots=True, repr=False)
class Artifact(Result):
    """A checked artifact folder."""

    path: Path
    manifest: Manifest

    def __repr__(self) -> str:
        size = f"{self.size_bytes / 1e6:.1f} MB"
        return (
            f"Artifact({str(self.path)!r}: {self.manifest.form.precision}, {len(self.manifest.labels)} labels, {size})"
        )

    def render(self) -> str:
        """Return lines: what the artifact is, and how its verification came out."""
        return _text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the artifact as plain data: its path, sizes in MB of 10^6 bytes, and its manifest."""
        return {
            "path": str(self.path),
            "model_mb": self.model_path.stat().st_size / 1e6,
            "folder_mb": self.size_bytes / 1e6,
            "manifest": self.manifest.model_dump(mode="json"),
        }

    def __fspath__(self) -> str:
        return str(self.path)

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
        entry = self.manifest.files[self.manifest.graph_file]
        try:
            same = untrusted.sha256_of(self.model_path, entry.bytes) == entry.sha256
        except (OSError, ValueError):
            same = False
        if not same:
            raise ArtifactError(
                f"{self.model_path} was replaced or removed after the parent process loaded it.",
                fix="load the artifact again in this process",
            )

    def tokenizer(self, *, trust: bool = False) -> TextTokenizer:
        """Return the tokenizer, cutting as the manifest says.

        Args:
            trust: take regular expressions of which it is not known that they need no endless time.

        Raises:
            ArtifactError: the file is no tokenizer, or one that the tokenizers library might not survive.
        """
        path = self.path / TOKENIZER
        try:
            return TextTokenizer(
                checked_tokenizer(untrusted.read_bytes(path), trust=trust),
                max_tokens=self.manifest.max_tokens,
                truncation_side=self.manifest.truncation_side,
                pad_id=self.manifest.pad_id,
                portable=True,
            )
        except (OSError, ValueError, ModelError) as error:
            reason = error.message if isinstance(error, ModelError) else f"{path} cannot be used: {error}."
            accepted = error.accepted if isinstance(error, ModelError) else {}
            fix: list[str | Hint] = [untrusted.TRUST] if isinstance(error, UnknownPattern) else []
            raise ArtifactError(reason, accepted=accepted, fix=[*fix, "export the model again"]) from error


def _text(artifact: Artifact) -> str:
    """Return lines: what the artifact is, and how its verification came out."""
    checked = artifact.manifest.verification
    model_mb, folder_mb = artifact.model_path.stat().st_size / 1e6, artifact.size_bytes / 1e6
    graph = artifact.manifest.graph_file
    lines = [
        f"{artifact.path}: {artifact.manifest.form.describe()}, {graph} {model_mb:.1f} MB, folder {folder_mb:.1f} MB",
    ]
    if "agreement" not in checked:  # of a manifest that no export wrote
        return lines[0]
    lines.append(
        f"verified: same answer as the model on {100 * checked['agreement']:.2f}% of "
        f"{checked['texts']:,} texts of {checked['split']}"
    )
    if checked["accuracy"] is not None:
        lines[1] += f"; {share(checked['accuracy'])}% right (model {share(checked['model_accuracy'])}%)"
    if checked.get("calibration_error") is not None:
        lines.append(
            f"McNemar's p {checked['accuracy_p_value']:.2g}; expected calibration error "
            f"{share(checked['calibration_error'])} points (model {share(checked['model_calibration_error'])})"
        )
    if unlabeled := checked.get("unlabeled"):
        lines.append(f"unlabelled: same answer on {share(unlabeled['agreement'])}% of {unlabeled['texts']:,} texts")
    if mixed := checked.get("mixed"):
        lines.append(f"in float, for {mixed['bytes'] / 1e6:+.2f} MB: {', '.join(mixed['products'])}")
    lines += _measured_lines(artifact.manifest)
    if artifact.manifest.vocabulary is not None:
        lines.append(_vocabulary_line(artifact.manifest.vocabulary))
    return "\n".join(lines)


def _measured_lines(manifest: Manifest) -> Iterator[str]:
    """Yield what the artifact itself was measured to score, beside the model that it came from."""
    metric = manifest.task.primary_metric
    for split, engines in manifest.measured.items():
        before = manifest.metrics.get(split) or {}
        for backend, values in engines.items():
            same = before.get("n") == values["n"]  # of other texts, a figure beside this one would mislead
            of_model = f" (model in torch {share(before[metric])}%)" if same else ""
            score = f"{metric.replace('_', ' ')} {share(values[metric])}% on {values['n']:,} texts of {split}"
            yield f"the artifact itself, {backend}: {score}{of_model}"


def _vocabulary_line(found: dict[str, Any]) -> str:
    """Return how a trimmed vocabulary compares with the whole one."""
    line = f"vocabulary: {found['pieces']:,} of {found['of']:,} pieces"
    if found["unchanged_tokens"] is not None:
        line += f"; {share(found['unchanged_tokens'])}% of the tokens of {found['split']} are read as before"
    if "whole_accuracy" in found:
        line += f"; {share(found['accuracy'])}% right (with the whole vocabulary {share(found['whole_accuracy'])}%)"
    return line


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
    manifest = _parse_manifest(path, content)
    artifact = Artifact(path, manifest)
    for name in (manifest.graph_file, *_BESIDE):
        if name not in manifest.files:
            raise ArtifactError(f"{path / MANIFEST} does not list {name}.", fix="export the model again")
    _check_sizes(path, manifest)
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
    try:
        whole = not (path / MANIFEST).is_file() and not (path / RUN_FILE).is_file() and (inner / MANIFEST).is_file()
    except OSError:  # a name that is too long
        return path
    return inner if whole else path


def refuse_artifact(path: str | Path) -> None:
    """Refuse an artifact, or the folder of a whole way, where a model is wanted.

    Raises:
        ModelError: with the runs that lie there.
    """
    path = Path(path)
    if not (find_artifact(path) / MANIFEST).is_file():
        return
    runs = [run.name for run in finished_runs(path)]
    if (path / MANIFEST).is_file():
        raise ModelError(
            f"{path} is an artifact, which has been exported already.",
            fix=["give the run or model folder that it was made from", f"liteft predict {path} 'a text'"],
        )
    raise ModelError(
        f"{path} contains an artifact and the runs that it was made from, but is not a model itself.",
        accepted={"runs in it": ", ".join(runs) or "none"},
        fix=[f"liteft export {path / run} --out FOLDER" for run in runs if run == "student"] or "name a run's folder",
    )


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
        required = (graph_file(fields["form"]), *_BESIDE)
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
            raise ArtifactError(
                f"{path} was not sealed: no manifest was written.", fix="call seal before the block ends"
            )


def _read_manifest(path: Path) -> bytes:
    if not os.path.isdir(path):  # noqa: PTH112  # False, too, for what no path can be
        folder = next((each for each in path.parents[:2] if os.path.isfile(each / MANIFEST)), None)  # noqa: PTH113
        if folder is not None and os.path.isfile(path):  # noqa: PTH113
            raise ArtifactError(
                f"{_shown(path)} is a file of an artifact; the artifact is the whole folder.",
                fix=Hint(f'liteft.load("{folder}")', f"give {folder}"),
            )
        raise ArtifactError(
            f"{_shown(path)} is not a folder.",
            accepted={"an artifact": f"a folder with {MANIFEST}, as liteft export writes it"},
            fix=Hint("liteft.export(run, folder)", "liteft export RUN --out FOLDER"),
        )
    try:
        return untrusted.read_bytes(path / MANIFEST, _MOST_MANIFEST)
    except FileNotFoundError:
        runs = finished_runs(path)
        if runs:
            raise ArtifactError(
                f"{path} contains runs but no artifact yet.",
                accepted={"runs in it": ", ".join(run.name for run in runs)},
                fix=[
                    "run the same liteft distill again: it continues to the artifact",
                    f"liteft export {likely_run(runs)} --out {path / 'artifact'}",
                ],
            ) from None
        kind = "a training run, not an artifact" if (path / RUN_FILE).is_file() else "not an artifact"
        if kind == "not an artifact" and not (path / "config.json").is_file():
            raise ArtifactError(
                f"{path} is {kind}: it has no {MANIFEST}, and it contains no model to export.",
                accepted={"an artifact": f"a folder with {MANIFEST}, as liteft export writes it"},
                fix="check the spelling",
            ) from None
        raise ArtifactError(
            f"{path} is {kind}: it has no {MANIFEST}.",
            fix=Hint(f'liteft.export("{path}", folder)', f"liteft export {path} --out FOLDER"),
        ) from None
    except (OSError, ValueError) as error:
        _refuse_manifest(path, error)


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        parsed = untrusted.parse_json(content, unique=True)
        untrusted.plain_text(parsed)
    except ValueError as error:
        _refuse_manifest(path, error)
    found = parsed.get("format") if isinstance(parsed, dict) else None
    if type(found) is not int or found != FORMAT:
        raise ArtifactError(
            f"{path} has artifact format {repr(found)[:80]}.",
            accepted={"formats that this version reads": FORMAT},
            fix="install a newer liteft, or export again with this one",
        )
    try:
        return Manifest.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:80] for part in first["loc"])
        raise ArtifactError(
            f"{path / MANIFEST} does not fit format {FORMAT}: {where}: {first['msg'][:200]}.",
            fix="export the model again",
        ) from None


def _refuse_manifest(path: Path, error: Exception) -> NoReturn:
    raise ArtifactError(f"{path / MANIFEST} cannot be read: {_reason(error)}.", fix="export the model again") from error


def _check_sizes(path: Path, manifest: Manifest) -> None:
    """Refuse sizes that nobody needs, before anything of that size is read."""
    for name, entry in manifest.files.items():
        most = _MOST_GRAPH if name == manifest.graph_file else _MOST_FILE
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
        raise ArtifactError(f"{file} cannot be read: {_reason(error)}.", fix="copy the whole folder again") from error
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
    """Say whether a file lies in a folder, links followed, or where the hub's cache keeps those of its snapshots."""
    target, whole = file.resolve(), folder.resolve()
    caches = [parent.parent / "blobs" for parent in whole.parents if parent.name == "snapshots"]
    return any(target.is_relative_to(place) for place in (whole, *caches))


def _is_pointer(file: Path) -> bool:
    """Say whether a file is what git holds in the place of a large one."""
    return untrusted.regular_size(file) < 1024 and files.is_lfs_pointer(untrusted.read_bytes(file, 1024))


def _reason(error: Exception) -> str:
    return files.os_reason(error) if isinstance(error, OSError) else first_line(error)[:200]


def _shown(path: Path) -> str:
    """Return a path as it may be printed: with no control characters, and not without end."""
    text = str(path)
    return text if text.isprintable() and len(text) <= 1000 else repr(text[:200])
