"""Writes the files of an artifact, and collects the fields of its manifest."""

from __future__ import annotations

import copy
import platform
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from liteft.artifact import ArtifactWriter, Fallback, read_artifact
from liteft.errors import ArtifactError
from liteft.exporting.card import card_text
from liteft.finetuning.known_ids import embedding_rows, unknown_tokens
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.run_folder import RECIPE
from liteft.finetuning.settings import ModelSettings, apply_settings
from liteft.finetuning.tokenizer_files import read_tokenizer, write_tokenizer
from liteft.floors import FLOORS_FILE, read_floor_scores
from liteft.form import ExportForm
from liteft.hub import origin_of
from liteft.machine import package_versions
from liteft.metrics import named_intervals
from liteft.run import Run, read_folds
from liteft.runtime.dry_run import check_graph
from liteft.tokenization import TextTokenizer

__all__ = ["manifest_fields", "needs_trust", "save_model", "seal", "title_of", "write_companions"]

_TOLD = {"start": "start", "texts": "training_texts", "transfer": "transfer"}  # manifest key -> of run.json

_PACKAGES = ("liteft", "torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy")


def title_of(run: Run | None, folder: Path) -> str:
    """Return the title of the model card, which names the data set or, if it is not known, folder or repository."""
    data, origin = None if run is None else (run.info.get("data") or {}).get("name"), origin_of(folder)
    return f"Text classifier: {data or (folder.resolve().name if origin is None else origin.repo)}"


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph to a file; the same graph always gives the same bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_companions(loaded: TorchClassifier, folder: Path) -> None:
    """Write the tokenizer and the two configuration files with which transformers reads the same token ids.

    Raises:
        ModelError: transformers would read different ids.
    """
    config = copy.deepcopy(loaded.config)  # that of a model from elsewhere goes on to say so
    apply_settings(config, loaded.settings)
    config.save_pretrained(folder)
    settings, types = read_tokenizer(loaded.path).settings, uses_type_ids(loaded.config)
    write_tokenizer(settings, loaded.tokenizer, folder, types=types)


def manifest_fields(
    loaded: TorchClassifier,
    run: Run | None,
    form: ExportForm,
    model: onnx.ModelProto,
    *,
    traced: bool,
    fallbacks: Mapping[str, Fallback] | None = None,
    calibration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the fields of the manifest, except for its verification, its measurements and its list of files.

    Args:
        loaded: the classifier that is exported.
        run: the run that made it, if there is one.
        form: of the artifact.
        model: the ONNX model.
        traced: the graph was traced rather than built.
        fallbacks: matmuls that an int8 graph computes in float, by name.
        calibration: what static int8 was calibrated on.
    """
    settings = loaded.settings
    inputs = tuple(value.name for value in model.graph.input)
    return {
        "task": settings.task,
        "labels": settings.labels,
        "activation": settings.task.activation,
        "pooling": settings.pooling,
        "paired": settings.paired,
        "marked": settings.marked,
        "answers": settings.answers,
        "max_tokens": settings.max_tokens,
        "truncation_side": settings.truncation_side,
        "pad_id": loaded.tokenizer.pad_id,
        "embedding_rows": embedding_rows(loaded.model) if unknown_tokens(loaded) else None,
        "inputs": inputs,
        "token_types": int(loaded.config.type_vocab_size) if "token_type_ids" in inputs else 0,
        "family": loaded.config.model_type,
        "form": form,
        "fallbacks": dict(fallbacks or {}),
        "calibration": calibration,
        "graph": "traced" if traced else "built",
        "metrics": {} if run is None else run.metrics,
        "floors": {} if run is None else _floors(run),
        "folds": {} if run is None else _folds(run),
        "vocabulary": None if run is None else run.info.get("vocabulary"),
        "teacher": None if run is None else _teacher(run.info.get("teacher")),
        "training": ({} if run is None else _training(run)) | _threshold(settings),
        "privacy": None if run is None else run.info.get("privacy"),
        "data": None if run is None else run.info.get("data"),
        "versions": {"python": platform.python_version(), **package_versions(_PACKAGES)},
    }


def _floors(run: Run) -> dict[str, dict[str, Any]]:
    """Return the metrics of the floors beside a run, as far as they are of the run's own data."""
    return read_floor_scores(run.path.parent / FLOORS_FILE, (run.info.get("data") or {}).get("fingerprint"))


def _folds(run: Run) -> dict[str, Any]:
    """Return what cross-validation beside a run says of students; {} if it is missing or unreadable.

    That of other data, or of students with other settings, says nothing of this run.
    """
    try:
        found = read_folds(run.path.parent, run.info["data"]["fingerprint"])
        if run.kind != "student" or not found:
            return {}
        made = tomllib.loads((run.path / RECIPE).read_text(encoding="utf-8"))["student"]
        if any(made.get(name) != value for name, value in found["student"].items()):
            return {}
        texts = found["texts"]
        scores = {
            kind: {"n": texts, **each, **named_intervals(found["intervals"][kind])}
            for kind, each in found["metrics"].items()
        }
        floors = {}
        for floor in (found.get("floors") or {}).get("floors", ()):
            (split,) = floor["metrics"]
            floors[floor["name"]] = {
                "n": texts,
                **floor["metrics"][split],
                **named_intervals(floor["intervals"][split]),
            }
        return {"count": found["folds"], "metrics": scores.pop("student"), "beside": scores, "floors": floors}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _teacher(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a run says of its teachers, without their paths, which mean nothing on another machine."""
    if stored is None:
        return None
    found = {name: value for name, value in stored.items() if name not in ("path", "others")}
    if "others" in stored:
        found["others"] = [_teacher(other) for other in stored["others"]]
    return found


def _training(run: Run) -> dict[str, Any]:
    """Return what a student started from, and how many texts it was trained on."""
    told = {name: run.info.get(key) for name, key in _TOLD.items()}
    return {name: value for name, value in told.items() if value is not None}


def _threshold(settings: ModelSettings) -> dict[str, float]:
    """Return the threshold that was folded into the last layer; {} for a model whose scores are probabilities."""
    return {"threshold": settings.threshold} if settings.threshold_shift else {}


def needs_trust(folder: Path) -> bool:
    """Return whether an artifact has operators or regular expressions for which loading it takes ``trust=True``."""
    artifact = read_artifact(folder, check_files=False)  # the gate has just read all of it
    try:
        check_graph(artifact)
        artifact.tokenizer()
    except ArtifactError:
        return True
    return False


def seal(writer: ArtifactWriter, fields: dict[str, Any], title: str, *, trust: bool = False) -> None:
    """Write the card and the manifest.

    The manifest is written twice: the card is made from it, and its list of files includes the card.
    """
    card = writer.folder / "card.md"
    card.touch()
    manifest = writer.seal(**fields)
    tokenizer = TextTokenizer.from_file(writer.folder / "tokenizer.json", max_tokens=manifest.max_tokens)
    pairs = tokenizer.pair_layout if manifest.paired else None
    card.write_text(card_text(manifest, title=title, trust=trust, pairs=pairs), encoding="utf-8")
    writer.seal(**fields)
