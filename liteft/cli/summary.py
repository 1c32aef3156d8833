"""What finetune, distill and export print at their end: metrics with intervals, sizes, seeds, the verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from liteft import files
from liteft.text_tables import aligned, share

if TYPE_CHECKING:
    from liteft.artifact import Artifact, Manifest
    from liteft.pipeline import Distillation
    from liteft.report.seeds import SeedsTable
    from liteft.run import Run

__all__ = [
    "artifact_document",
    "artifact_text",
    "half_size",
    "outcome_document",
    "outcome_text",
    "run_document",
    "runs_table",
]

_SPLITS = ("validation", "test")
_LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer")


def runs_table(runs: Sequence[Run]) -> str:
    """Return a line for each run: its size, and its main metric with a 95% interval."""
    metric = runs[0].task.primary_metric
    shown = metric.replace("_", " ")
    rows: list[tuple[str, ...]] = [
        ("run", "kind", "parameters", "file MB", *(f"{split} {shown} %" for split in _SPLITS))
    ]
    for run in runs:
        size = (f"{run.info['parameters'] / 1e6:.1f} M", f"{run.info['size_bytes'] / 1e6:.1f}")
        rows.append((str(run.path), run.kind, *size, *(_cell(run, split, metric) for split in _SPLITS)))
    lines = [aligned(rows, texts=2), "[ ]: 95% intervals."]
    lines += [f"warning: {run.path}: {line}" for run in runs for line in run.info.get("warnings", ())]
    return "\n".join(lines)


def run_document(run: Run) -> dict[str, Any]:
    """Return a run as plain data: its path and what its run.json says."""
    return {"path": str(run.path), **run.info}


def artifact_text(artifact: Artifact) -> str:
    """Return lines: what the artifact is, and how its verification came out."""
    checked = artifact.manifest.verification
    model_mb, folder_mb = artifact.model_path.stat().st_size / 1e6, artifact.size_bytes / 1e6
    graph = artifact.manifest.graph_file
    lines = [
        f"{artifact.path}: {_form(artifact)}, {graph} {model_mb:.1f} MB, folder {folder_mb:.1f} MB",
        f"verified: same answer as the model on {100 * checked['agreement']:.2f}% of "
        f"{checked['texts']:,} texts of {checked['split']}",
    ]
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


def _form(artifact: Artifact) -> str:
    manifest = artifact.manifest
    if manifest.precision != "int8":
        return manifest.precision
    words = [f"int8 {manifest.int8_scheme}"]
    words += ["weights of 7 bits"] if manifest.weight_bits == 7 else []
    words += ["word embeddings of 4 bits"] if manifest.embedding_bits == 4 else []
    return ", ".join(words)


def _vocabulary_line(found: dict[str, Any]) -> str:
    """Return how a trimmed vocabulary compares with the whole one."""
    line = f"vocabulary: {found['pieces']:,} of {found['of']:,} pieces"
    if found["unchanged_tokens"] is not None:
        line += f"; {share(found['unchanged_tokens'])}% of the tokens of {found['split']} are read as before"
    if "whole_accuracy" in found:
        line += f"; {share(found['accuracy'])}% right (with the whole vocabulary {share(found['whole_accuracy'])}%)"
    return line


def artifact_document(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as plain data: its path, sizes in MB of 10^6 bytes, and its manifest."""
    return {
        "path": str(artifact.path),
        "model_mb": artifact.model_path.stat().st_size / 1e6,
        "folder_mb": artifact.size_bytes / 1e6,
        "manifest": artifact.manifest.model_dump(mode="json"),
    }


def outcome_text(outcome: Distillation) -> str:
    """Return what a whole distillation came to."""
    teacher = () if outcome.teacher is None else (outcome.teacher,)
    runs = [*teacher, *outcome.students, *outcome.controls]
    parts = [runs_table(runs) if runs else "the teacher is a classifier already; nothing was trained."]
    seeds = _seeds(outcome)
    parts += [] if seeds is None else [seeds.render()]
    parts += [] if outcome.artifact is None else [artifact_text(outcome.artifact)]
    return "\n\n".join(parts)


def outcome_document(outcome: Distillation) -> dict[str, Any]:
    """Return what a whole distillation came to, as plain data."""
    seeds = _seeds(outcome)
    return {
        "teacher": None if outcome.teacher is None else run_document(outcome.teacher),
        "students": [run_document(run) for run in outcome.students],
        "controls": [run_document(run) for run in outcome.controls],
        "seeds": None if seeds is None else seeds.to_dict(),
        "artifact": None if outcome.artifact is None else artifact_document(outcome.artifact),
    }


def half_size(run: Run) -> str:
    """Return half of a run's layers, rounded down: a size for a first student."""
    config = files.read_json(run.model_path / "config.json")
    layers = next((config[key] for key in _LAYER_KEYS if key in config), 2)
    return str(max(1, int(layers) // 2))


def _seeds(outcome: Distillation) -> SeedsTable | None:
    """Return students beside their controls and their teacher; None for one student alone, or without labels.

    A teacher that was trained on other data has predictions of other texts, so it is left out. Hours of training must
    not end in an error about it.
    """
    from liteft.report.seeds import seeds_table

    students, teacher = outcome.students, outcome.teacher
    if not students or len(students) + len(outcome.controls) < 2:
        return None
    split = next((name for name in reversed(_SPLITS) if students[0].metrics.get(name)), None)
    if split is None:
        return None
    same = teacher is not None and teacher.labels == students[0].labels and _data(teacher) == _data(students[0])
    return seeds_table(students, outcome.controls, (teacher,) if teacher is not None and same else (), split=split)


def _data(run: Run) -> tuple[Any, Any]:
    data = run.info.get("data") or {}
    return data.get("name"), data.get("fingerprint")


def _cell(run: Run, split: str, metric: str) -> str:
    values = run.metrics.get(split) or {}
    if values.get(metric) is None:
        return "-"
    interval = values.get(f"{metric}_interval")
    return share(values[metric], None if interval is None else (interval[0], interval[1]))
