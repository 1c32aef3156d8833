"""Writes a model repository for Triton Inference Server from an artifact, and verifies it before it replaces anything.

    REPOSITORY/                       --model-repository; Triton reads the folders in it and ignores its files
        README.md                     how to start it and what was checked
        liteft.json                   what was written, with the SHA-256 of every file
        NAME/config.pbtxt             kind "python": one model
        NAME/1/model.py
        NAME/1/artifact/              the whole artifact
        NAME/labels.txt               for Triton's classification extension
        NAME/warmup/text              a first request, before which Triton does not call the model ready

`ensemble` has the folders of the other kind. Each model's folder holds all that it needs, because Triton copies the
folders of a repository in a cloud store one by one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from liteft import files
from liteft.arguments import checked_progress, require_path
from liteft.artifact import Artifact, Manifest, read_artifact
from liteft.errors import ArtifactError, ConfigError, leave_out, option
from liteft.runtime import custom_ops_library
from liteft.runtime.dry_run import check_graph
from liteft.triton.checking import LISTING, TritonRepository, list_files, read_repository
from liteft.triton.config import python_config, warmup_inputs
from liteft.triton.ensemble import library_path, no_ensemble, write_ensemble
from liteft.triton.gate import check_copy, check_ensemble
from liteft.triton.parts import copy_artifact, write_labels, write_model, write_warmup
from liteft.triton.readme import readme_text
from liteft.triton.tensors import inputs_of, outputs_of

if TYPE_CHECKING:
    from liteft.data import Split

__all__ = ["Kind", "export_triton", "fill_repository", "model_name"]

Kind = Literal["python", "ensemble"]
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def export_triton(
    artifact: Artifact | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    verify: Split | None = None,
    name: str | None = None,
    kind: Kind | None = None,
    models_path: str = "/models",
    threads: int | None = None,
    progress: Callable[[str], None] | bool | None = None,
) -> TritonRepository:
    """Write a model repository for Triton Inference Server from a finished artifact.

    Args:
        artifact: the artifact or its folder.
        out: the repository's folder. A repository that LiteFT wrote there is replaced once the new one is verified.
        verify: texts on which the repository's models and the artifact are compared. Required: the default only exists
            so that an error can explain it.
        name: of the model that clients ask; None takes it from the artifact's data set or folder.
        kind: "python", one model that does everything in Triton's Python backend; or "ensemble", a tokenizer there and
            a graph without padding in the ONNX Runtime backend with libliteft as its operator. None takes "ensemble"
            where that is possible: texts with labels or scores, a graph that is one node, and libliteft here.
        models_path: the repository's path where Triton runs, which an ensemble needs to find the library.
        threads: CPU threads of the verification; None for those of ``liteft.load``.
        progress: called with a line of text now and then; True prints the lines to stderr.

    Returns:
        The repository. Nothing of it was run in a Triton server; its README says what was checked instead.

    Raises:
        VerificationError: a model's results are not those of the artifact.
        ConfigError: no texts to verify on, or a name, kind or path that Triton or the artifact does not allow.
        ArtifactError: the artifact cannot be read, or the repository cannot be written.
        DeviceError: kind "ensemble" was asked for, and there is no native library here.
    """
    progress = checked_progress(progress)
    require_path("artifact", artifact, kinds=(Artifact,), accepted="an artifact or its folder")
    require_path("out", out, accepted="a folder")
    found = read_artifact(Path(artifact))
    _refuse_guarded(found)
    if verify is None:
        raise ConfigError(
            "a model repository is verified on real texts, and none were given.",
            accepted={"verify": "a Split, with labels or without"},
            fix=["verify=data.validation", 'verify=liteft.Split("texts", texts)'],
        )
    target = Path(out)
    name = _checked_name(name) if name is not None else model_name(found.manifest, found.path)
    _require_replaceable(target, name)
    asked: dict[str, Any] = {"name": name, "kind": kind, "models_path": models_path, "threads": threads}
    with files.writing_folder(target, kind=ArtifactError) as folder:
        fill_repository(found, folder, verify=verify, progress=progress, **asked)
    return read_repository(target)


def fill_repository(
    artifact: Artifact,
    folder: Path,
    *,
    verify: Split,
    name: str | None = None,
    kind: Kind | None = None,
    models_path: str = "/models",
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> TritonRepository:
    """Write a repository into an empty folder and verify it; arguments and errors are those of `export_triton`."""
    folder.mkdir(exist_ok=True)
    name = _checked_name(name) if name is not None else model_name(artifact.manifest, artifact.path)
    if kind is None and progress is not None and (reason := no_ensemble(artifact)):
        progress(f"Triton: one Python model, as an ensemble cannot be made: {reason}")
    kind = _checked_kind(kind, artifact)
    if kind == "ensemble":
        write_ensemble(artifact, folder, name, models_path)
        verified = check_ensemble(artifact, folder, name, verify, threads=threads)
    else:
        _write_python(artifact, folder / name, name)
        verified = check_copy(artifact, folder / name / "1", verify, threads=threads)
    if progress is not None:
        progress(f"Triton: the {kind} {name} gives {verified['text']}")
    library = library_path(name, models_path, Path(custom_ops_library())) if kind == "ensemble" else None
    text = readme_text(artifact.manifest, name, models_path=models_path, verified=verified, library=library)
    (folder / "README.md").write_text(text, "utf-8")
    files.write_json(
        folder / LISTING,
        {
            "format": 1,
            "name": name,
            "kind": kind,
            "models_path": models_path,
            "library": library,
            "liteft": metadata.version("liteft"),
            "verified": verified,
            "files": list_files(folder),
        },
    )
    return read_repository(folder)


def model_name(manifest: Manifest, folder: Path) -> str:
    """Return a name for a model that Triton accepts, from the artifact's data set or else its folder."""
    data = (manifest.data or {}).get("name")
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", str(data or folder.resolve().name)).strip("_")[:100]
    return plain or "classifier"


def _write_python(artifact: Artifact, folder: Path, name: str) -> None:
    """Write the model that does everything."""
    inputs, outputs = inputs_of(artifact.manifest), outputs_of(artifact.manifest)
    copy_artifact(artifact, folder / "1" / "artifact")
    write_model(
        folder / "1", what="Text in, results out: an artifact of LiteFT.", module="text_model", base="TextModel"
    )
    if any(each.labelled for each in outputs):
        write_labels(folder, artifact.manifest.labels)
    write_warmup(folder, inputs)
    warmup = warmup_inputs(inputs, {each.name: (1,) for each in inputs})
    (folder / "config.pbtxt").write_text(python_config(name, inputs, outputs, warmup=warmup), "utf-8")


def _refuse_guarded(artifact: Artifact) -> None:
    """Refuse an artifact that is loaded by who trusts it alone: a model in Triton has nobody to ask."""
    try:
        check_graph(artifact)
        artifact.tokenizer()
    except ArtifactError as error:
        raise ArtifactError(
            f"{artifact.path} cannot be served: {error.message}",
            accepted=error.accepted,
            fix="serve what loads without trust=True",
        ) from error


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"the model's name is {name!r}.",
            accepted={"name": "letters, digits, _, . and -, as the name of a folder and in addresses"},
            fix=option("name", "reviews"),
        )
    return name


def _checked_kind(kind: Kind | None, artifact: Artifact) -> Kind:
    if kind is not None and kind not in get_args(Kind):
        raise ConfigError(
            f"kind {kind!r} is unknown.", accepted={"kind": ", ".join(get_args(Kind))}, fix=leave_out("kind")
        )
    reason = None if kind == "python" else no_ensemble(artifact)
    if kind == "ensemble" and reason is not None:
        raise ConfigError(
            f"{artifact.path} cannot be an ensemble in Triton: {reason}.",
            accepted={"kind": "python"},
            fix=leave_out("kind"),
        )
    return kind or ("ensemble" if reason is None else "python")


def _require_replaceable(target: Path, name: str) -> None:
    """Refuse a folder that is neither empty nor a repository of this model whose files are all listed."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    own = {LISTING}
    if (target / LISTING).is_file():
        own |= set(read_repository(target).files)
        other = read_repository(target).name
        if other != name:
            raise ArtifactError(
                f"{target} has the repository of another model, {other}, which would be replaced by {name}.",
                fix="choose another output folder: Triton takes several",
            )
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    if not target.is_dir() or len(own) == 1 or found - own:
        raise ArtifactError(
            f"{target} exists, and has files that LiteFT did not write for Triton and that would be lost.",
            accepted={"others": ", ".join(sorted(found - own)[:5]) or target.name},
            fix="choose another output folder",
        )
