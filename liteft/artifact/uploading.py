"""What an artifact consists of on the hub: the files of its manifest, the manifest, and what is told of it."""

from __future__ import annotations

from pathlib import Path

from liteft.artifact.checks import compare_files, reason_of
from liteft.artifact.manifest import MANIFEST, Manifest
from liteft.errors import ArtifactError
from liteft.hub import Described, Measured, Upload, UploadFile
from liteft.run_card import MODEL_LIST, pipeline_tag
from liteft.untrusted import read_bytes

__all__ = ["artifact_upload"]

_CARD = "card.md"
_ENGINES = {"native": "native engine", "onnxruntime": "ONNX Runtime"}


def artifact_upload(path: Path, manifest: Manifest) -> Upload:
    """Return what is pushed of an artifact, after its files were hashed and compared with the manifest.

    Args:
        path: its folder.
        manifest: its manifest, as it was read.

    Raises:
        ArtifactError: a file is missing or was changed, the manifest among them.
    """
    compare_files(path, manifest, hashing=True)
    files = [UploadFile(name, path / name, entry.bytes) for name, entry in manifest.files.items()]
    known = {MANIFEST, *manifest.files}
    there = (file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file())
    try:
        content = read_bytes(path / MANIFEST)
        same = Manifest.model_validate_json(content) == manifest
        card = read_bytes(path / _CARD).decode("utf-8")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {reason_of(error)}.", fix="export the model again") from error
    if not same:
        raise ArtifactError(f"{path / MANIFEST} was changed after it was read.", fix="read the artifact again")
    return Upload(
        files=(*files, UploadFile(MANIFEST, content, len(content))),
        lists=(MANIFEST, MODEL_LIST),
        card=card,
        described=_described(manifest),
        left_out=tuple(name for name in there if name not in known),
    )


def _described(manifest: Manifest) -> Described:
    """Return what the metadata say: what was measured of the artifact itself, on each split by one engine."""
    measured = []
    for split, engines in manifest.measured.items():
        engine = "native" if "native" in engines else next(iter(engines), None)
        if engine is not None:
            measured.append(Measured(split, engines[engine], _ENGINES.get(engine, engine)))
    if not measured and manifest.verification.get("texts"):
        measured = [_verified(manifest)]
    form = manifest.form
    return Described(
        pipeline_tag=pipeline_tag(manifest.task),
        library="liteft",
        tags=("liteft", "onnx", form.precision, *(["transformers.js"] if form.target == "edge" else [])),
        data=(manifest.data or {}).get("name"),
        measured=tuple(measured),
    )


def _verified(manifest: Manifest) -> Measured:
    """Return what the verification of the export measured of the artifact."""
    found = manifest.verification
    name = "exact_match" if manifest.task.per_word or manifest.task.extractive else "accuracy"
    values = {name: found.get("accuracy")}
    if primary := found.get("primary"):
        values[primary["metric"]] = primary["artifact"]
    return Measured(str(found["split"]), values, "in its verification")
