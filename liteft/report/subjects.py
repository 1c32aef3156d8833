"""The models of a comparison: runs, model folders and artifacts, described in one form.

Only headers and manifests are read here; the model itself is loaded in the process that measures it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from liteft.artifact import MANIFEST, Artifact, find_artifact, local_model, read_artifact
from liteft.errors import ConfigError, Hint, ModelError, leave_out
from liteft.foreign import (
    Said,
    adopted_labels,
    no_model,
    read_config_json,
    read_meaning,
    refuse_family,
    require_weights,
)
from liteft.foreign.weights import ADAPTER, refuse_adapter_alone, refuse_quantized
from liteft.hub import origin_of
from liteft.report.parameters import onnx_parameters, safetensors_parameters
from liteft.run import RUN_FILE, Run, check_weights, read_base, read_run
from liteft.tasks import Task

__all__ = ["Source", "Subject", "find_subjects", "same_labels"]

Source = Run | Artifact | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Subject:
    """One model to compare.

    Attributes:
        name: name in reports; unique within a comparison.
        path: the folder of the run or artifact, as given.
        folder: the folder that is loaded: a model folder or an artifact.
        engine: "torch" for models and runs, "onnxruntime" for artifacts (whichever backend then runs them).
        form: description for reports, such as "teacher, torch" or "int8, onnx".
        task: what the labels mean.
        labels: label names in the order of its logits.
        paired: whether it classifies pairs; None if its files do not tell, and `find_gold` takes it from the texts.
        parameters: number of weights.
        model_bytes: bytes of the file with the weights; for an adapter, including its base.
        folder_bytes: bytes of all files in ``folder``; for an adapter, including its base.
        info: content of run.json for a run, else None.
        said: for a folder that transformers wrote, what the caller stated about it.
        stated: whether its files name its task; may be False for a folder that transformers wrote.
        own: whether LiteFT wrote it.
        guessed: whether nothing states if its scores are logits or sigmoids of them.
        tuned: whether it chooses labels at a threshold that was tuned, and its scores are no probabilities.
    """

    name: str
    path: Path
    folder: Path
    engine: Literal["torch", "onnxruntime"]
    form: str
    task: Task
    labels: tuple[str, ...]
    paired: bool | None
    parameters: int
    model_bytes: int
    folder_bytes: int
    info: dict[str, Any] | None = None
    said: Said = field(default_factory=Said)
    stated: bool = True
    own: bool = True
    guessed: bool = False
    tuned: bool = False


def find_subjects(
    sources: Sequence[Source], names: Sequence[str] | None = None, *, said: Said | None = None
) -> list[Subject]:
    """Return the description of each source.

    Args:
        sources: runs, artifacts, or paths of runs, model folders and artifacts; or names on the hub.
        names: one name per source; None takes the folders' names, with as much of the path as makes them unique.
        said: what the caller stated about folders that transformers wrote.

    Raises:
        ConfigError: there is no source, the names do not fit, or ``said`` contradicts the only models that there are.
        ModelError: a folder contains none of these, or the models differ in task or labels.
        RunError, ArtifactError: a run or artifact cannot be read.
    """
    if not sources:
        raise ConfigError(
            "there is nothing to compare.",
            fix=Hint("compare(RUN_OR_ARTIFACT, ..., on=DATA)", "liteft compare RUN_OR_ARTIFACT ... --on DATA"),
        )
    said = said or Said()
    found = [_find(source, said) for source in sources]
    if said != Said() and all(subject.own for subject in found):
        _refuse_said(said, found)
    if names is None:
        names = _short_names([subject.path for subject in found])
    if len(names) != len(found) or len(set(names)) != len(names):
        raise ConfigError(
            f"{len(found)} models came with the names {', '.join(names)}.",
            accepted={"names": "one per model, all different"},
            fix=f"give {len(found)} names that differ",
        )
    found = [replace(subject, name=name) for subject, name in zip(found, names, strict=True)]
    for other in found[1:]:
        _check_alike(found[0], other)
    return found


def _refuse_said(said: Said, found: Sequence[Subject]) -> None:
    """Refuse labels, a task or an activation that contradict those of LiteFT's own models."""
    for name in ("labels", "task", "activation"):
        of = [subject.task if name == "activation" else subject for subject in found]
        value, stated = getattr(said, name), {getattr(each, name) for each in of}
        if value is not None and stated != {value}:
            raise ConfigError(
                f"{name} may be stated for folders that transformers wrote, but LiteFT wrote {found[0].path}.",
                accepted={name: f"as it was trained: {next(iter(stated))}"},
                fix=leave_out(name),
            )


def _find(source: Source, said: Said) -> Subject:
    """Detect what a source is and return its description, still without a name."""
    if isinstance(source, Run):
        return _of_run(source)
    if isinstance(source, Artifact):
        return _of_artifact(source)
    path = Path(local_model(source))
    if (find_artifact(path) / MANIFEST).is_file():
        return _of_artifact(read_artifact(path))
    if (path / RUN_FILE).is_file() or (path / "recipe.toml").is_file():
        return _of_run(read_run(path))
    if (path / "config.json").is_file():
        return _of_model(path, said)
    raise no_model(path)


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
        info=dict(run.info),
        tuned=run.info.get("threshold", 0.5) != 0.5,
    )


def _of_artifact(artifact: Artifact) -> Subject:
    manifest = artifact.manifest
    return Subject(
        name="",
        path=artifact.path,
        folder=artifact.path,
        engine="onnxruntime",
        form=f"{manifest.form.precision}, onnx",
        task=manifest.task,
        labels=manifest.labels,
        paired=manifest.paired,
        parameters=onnx_parameters(artifact.model_path),
        model_bytes=artifact.model_path.stat().st_size,
        folder_bytes=_folder_bytes(artifact.path),
        tuned="threshold" in manifest.training,
    )


def _of_model(folder: Path, said: Said) -> Subject:
    check_weights(folder)
    config = read_config_json(folder)
    refuse_family(folder, config)
    weights, own = _weights(folder), config.get("liteft") is not None
    # whether it classifies pairs is checked once the texts are loaded
    meaning = read_meaning(folder, config, None if own else replace(said, seen_pairs=True))
    if not own:
        refuse_quantized(folder, config)
    return Subject(
        name="",
        path=folder,
        folder=folder,
        engine="torch",
        form=f"torch{weights.stored}",
        task=meaning.settled_task,
        labels=meaning.labels,
        paired=meaning.paired if own else said.paired,
        parameters=weights.parameters,
        model_bytes=weights.bytes,
        folder_bytes=_folder_bytes(folder) + weights.base_bytes,
        said=Said() if own else said,
        stated=meaning.task is not None,
        own=own,
        guessed=meaning.guessed,
        tuned=own and "threshold_shift" in config["liteft"],
    )


@dataclass(frozen=True, slots=True)
class _Weights:
    parameters: int
    bytes: int
    base_bytes: int = 0
    stored: str = ""


def _weights(folder: Path) -> _Weights:
    """Return the size of a model folder's weights; an adapter's includes its base, which it cannot run without."""
    if not (folder / ADAPTER).is_file():
        parts = require_weights(folder)
        return _Weights(sum(map(safetensors_parameters, parts)), sum(part.stat().st_size for part in parts))
    refuse_adapter_alone(folder)
    file, base = folder / ADAPTER, read_base(folder)
    stored = f", {base['quantization']}" if base["quantization"] else ""
    return _Weights(base["parameters"], file.stat().st_size + base["bytes"], base["bytes"], stored)


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the last parts of each path, as few as make the names unique; numbered if none do."""
    parts = [_named_parts(path) for path in paths]
    depth = 1
    while depth < max(len(part) for part in parts):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
        depth += 1
    return [f"{part[-1]} {number}" for number, part in enumerate(parts, start=1)]


def _named_parts(path: Path) -> tuple[str, ...]:
    """Return the parts of a path by which it is named; of the hub's cache, its repository and the commit before it."""
    origin = origin_of(path)
    return path.resolve().parts if origin is None else (str(origin.revision)[:12], origin.repo)


def _check_alike(first: Subject, other: Subject) -> None:
    """Refuse two models that differ in task, in pairs, or in their labels."""
    apart = other.paired != first.paired and None not in (other.paired, first.paired)
    if other.task != first.task or apart:
        raise ModelError(
            f"{other.name} and {first.name} have different tasks.",
            accepted={subject.name: _described(subject) for subject in (first, other)},
            fix="compare models of one task",
        )
    if set(other.labels) != set(first.labels) and not same_labels(first, other):
        lacking = sorted(set(first.labels) - set(other.labels))
        more = sorted(set(other.labels) - set(first.labels))
        seen = {f"only {first.name} has": lacking, f"only {other.name} has": more}
        raise ModelError(
            f"{other.name} and {first.name} have different labels.",
            accepted={name: ", ".join(labels[:8]) for name, labels in seen.items() if labels},
            fix="compare models of the same labels",
        )


def _described(subject: Subject) -> str:
    return f"{subject.task}, {'pairs' if subject.paired else 'single texts'}"


def same_labels(first: Subject, other: Subject) -> bool:
    """Return whether two models have the same labels, or labels that can be matched.

    Labels match if they differ in case only, or if one model has LABEL_0, LABEL_1, ... and the other numbers.
    """
    either = (adopted_labels(first.labels, other.labels), adopted_labels(other.labels, first.labels))
    return set(first.labels) == set(other.labels) or either != (None, None)
