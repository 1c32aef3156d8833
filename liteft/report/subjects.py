"""What is being compared: a run, a model folder or an artifact, seen in one way.

Only headers and manifests are read here; the model itself is loaded in the process that measures it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from liteft import files
from liteft.artifact import MANIFEST, Artifact, find_artifact, read_artifact
from liteft.errors import ConfigError, ModelError
from liteft.metrics import Task
from liteft.report.parameters import onnx_parameters, safetensors_parameters
from liteft.run import ADAPTER, RUN_FILE, WEIGHTS, Run, check_weights, model_weights, read_base, read_run

__all__ = ["Source", "Subject", "find_subjects"]

Source = Run | Artifact | str | os.PathLike[str]

_DEFAULT_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Subject:
    """One model to compare.

    Attributes:
        name: what reports call it; unique within a comparison.
        path: the run or artifact, as it was given.
        folder: what is loaded: a model folder or an artifact.
        engine: "torch" or "onnxruntime".
        form: for reports, like "teacher, torch" or "int8".
        task: "single_label" or "multi_label".
        labels: label names in the order of its logits.
        paired: it reads pairs of texts.
        parameters: number of weights.
        model_bytes: bytes of the file that holds the weights; of an adapter, with its base's.
        folder_bytes: bytes of every file in ``folder``, and of an adapter's base.
        info: run.json, for a run.
    """

    name: str
    path: Path
    folder: Path
    engine: Literal["torch", "onnxruntime"]
    form: str
    task: Task
    labels: tuple[str, ...]
    paired: bool
    parameters: int
    model_bytes: int
    folder_bytes: int
    info: dict[str, Any] | None = None


def find_subjects(sources: Sequence[Source], names: Sequence[str] | None = None) -> list[Subject]:
    """Return what each source is.

    Args:
        sources: runs, artifacts, or paths of runs, model folders and artifacts.
        names: a name for each; None takes the folders' names, with as much of the path as tells them apart.

    Raises:
        ConfigError: no source, or names that do not fit.
        ModelError: a folder that holds none of these, or models of different tasks or labels.
        RunError, ArtifactError: a run or artifact that cannot be read.
    """
    if not sources:
        raise ConfigError("there is nothing to compare.", fix="liteft compare RUN_OR_ARTIFACT ... --on DATA")
    found = [_find(source) for source in sources]
    if names is None:
        names = _short_names([subject.path for subject in found])
    if len(names) != len(found) or len(set(names)) != len(names):
        raise ConfigError(
            f"{len(found)} models came with the names {', '.join(names)}.",
            accepted={"names": "one a model, each once"},
        )
    found = [replace(subject, name=name) for subject, name in zip(found, names, strict=True)]
    for other in found[1:]:
        _check_alike(found[0], other)
    return found


def _find(source: Source) -> Subject:
    if isinstance(source, Run):
        return _of_run(source)
    if isinstance(source, Artifact):
        return _of_artifact(source)
    path = Path(source)
    if (find_artifact(path) / MANIFEST).is_file():
        return _of_artifact(read_artifact(path))
    if (path / RUN_FILE).is_file() or (path / "recipe.toml").is_file():
        return _of_run(read_run(path))
    if (path / "config.json").is_file():
        return _of_model(path)
    raise ModelError(
        f"{path} is {'no folder' if not path.is_dir() else 'neither a run nor a model nor an artifact'}.",
        accepted={
            "a run": f"holds {RUN_FILE}",
            "an artifact": f"holds {MANIFEST}",
            "a model folder": f"holds config.json and {WEIGHTS}",
        },
    )


def _of_run(run: Run) -> Subject:
    check_weights(run.model_path)
    weights = _weights(run.model_path)
    return Subject(
        name="",
        path=run.path,
        folder=run.model_path,
        engine="torch",
        form=f"{run.kind}, torch{weights.stored}",
        task=run.task,
        labels=run.labels,
        paired=bool(run.info["paired"]),
        parameters=weights.parameters,
        model_bytes=weights.bytes,
        folder_bytes=_folder_bytes(run.model_path) + weights.base_bytes,
        info=run.info,
    )


def _of_artifact(artifact: Artifact) -> Subject:
    manifest = artifact.manifest
    return Subject(
        name="",
        path=artifact.path,
        folder=artifact.path,
        engine="onnxruntime",
        form=f"{manifest.precision}, onnx",
        task=manifest.task,
        labels=manifest.labels,
        paired=manifest.paired,
        parameters=onnx_parameters(artifact.model_path),
        model_bytes=artifact.model_path.stat().st_size,
        folder_bytes=_folder_bytes(artifact.path),
    )


def _of_model(folder: Path) -> Subject:
    check_weights(folder)
    if not model_weights(folder).is_file():
        raise ModelError(
            f"{folder} has no {WEIGHTS}; weights in other formats are never loaded.",
            fix="save the model with save_pretrained, which writes safetensors",
        )
    try:
        config = files.read_json(folder / "config.json")
        own = config.get("liteft") or {}
        # transformers leaves its default of two labels out of the file
        named = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        listed = {int(index): str(label) for index, label in named.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read: {error}.") from error
    labels = own.get("labels") or [listed[index] for index in sorted(listed)]
    weights = _weights(folder)
    multi = config.get("problem_type") == "multi_label_classification"
    return Subject(
        name="",
        path=folder,
        folder=folder,
        engine="torch",
        form=f"torch{weights.stored}",
        task=cast(Task, own.get("task") or ("multi_label" if multi else "single_label")),
        labels=tuple(labels),
        paired=bool(own.get("paired", False)),
        parameters=weights.parameters,
        model_bytes=weights.bytes,
        folder_bytes=_folder_bytes(folder) + weights.base_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Weights:
    parameters: int
    bytes: int
    base_bytes: int = 0
    stored: str = ""


def _weights(folder: Path) -> _Weights:
    """What a model folder's weights are; an adapter's count with its base, without which it is nothing."""
    file = model_weights(folder)
    if not (folder / ADAPTER).is_file():
        return _Weights(safetensors_parameters(file), file.stat().st_size)
    base = read_base(folder)
    stored = f", {base['quantization']}" if base["quantization"] else ""
    return _Weights(base["parameters"], file.stat().st_size + base["bytes"], base["bytes"], stored)


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as few as keep the names apart; numbered where that cannot be."""
    parts = [path.resolve().parts for path in paths]
    depth = 1
    while depth < max(len(part) for part in parts):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
        depth += 1
    return [f"{part[-1]} {number}" for number, part in enumerate(parts, start=1)]


def _check_alike(first: Subject, other: Subject) -> None:
    if other.task != first.task or other.paired != first.paired:
        raise ModelError(
            f"{other.name} and {first.name} do different tasks.",
            accepted={subject.name: _described(subject) for subject in (first, other)},
        )
    if set(other.labels) != set(first.labels):
        lacking = sorted(set(first.labels) - set(other.labels))
        more = sorted(set(other.labels) - set(first.labels))
        seen = {f"only {first.name} has": lacking, f"only {other.name} has": more}
        raise ModelError(
            f"{other.name} and {first.name} have different labels.",
            accepted={name: ", ".join(labels[:8]) for name, labels in seen.items() if labels},
        )


def _described(subject: Subject) -> str:
    return f"{subject.task}, {'pairs' if subject.paired else 'single texts'}"
