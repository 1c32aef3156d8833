"""The files of an artifact beside its graph, and what its manifest says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from tokenizers import Tokenizer

from liteft import files
from liteft.artifact import ArtifactWriter
from liteft.exporting.card import card_text
from liteft.exporting.precision import Precision
from liteft.exporting.quantization import Quantization
from liteft.finetuning.model import LoadedClassifier, apply_settings
from liteft.finetuning.run_folder import versions
from liteft.run import Run
from liteft.trimming import TrimmedVocabulary, renumbered

__all__ = ["manifest_fields", "save_model", "seal", "title_of", "write_companions"]

_PACKAGES = ("liteft", "torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy")
_LOCAL_KEYS = (
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
    "vocab_file",
    "local_files_only",
    "is_local",
)


def title_of(run: Run | None, folder: Path) -> str:
    """Return the title of the model card."""
    data = None if run is None else (run.info.get("data") or {}).get("name")
    return f"Text classifier: {data or folder.resolve().name}"


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph; equal ones in equal bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def write_companions(loaded: LoadedClassifier, folder: Path, vocabulary: TrimmedVocabulary | None = None) -> None:
    """Write the tokenizer and the two configuration files that transformers reads.

    Args:
        loaded: the classifier.
        folder: where to.
        vocabulary: its own, where it was trimmed after it had been saved.
    """
    settings, tokenizer = loaded.settings, loaded.tokenizer
    (folder / "tokenizer.json").write_text(tokenizer.json_text, encoding="utf-8")
    apply_settings(loaded.config, settings)
    loaded.config.save_pretrained(folder)
    stored = loaded.path / "tokenizer_config.json"
    content: dict[str, Any] = files.read_json(stored) if stored.is_file() else {}
    content = {name: value for name, value in content.items() if name not in _LOCAL_KEYS}
    content = content if vocabulary is None else renumbered(content, vocabulary)
    if content.get("tokenizer_class", "TokenizersBackend") == "TokenizersBackend":
        content["tokenizer_class"] = "PreTrainedTokenizerFast"
    content["model_max_length"] = settings.max_tokens
    content["truncation_side"] = settings.truncation_side
    content.setdefault("pad_token", Tokenizer.from_str(tokenizer.json_text).id_to_token(tokenizer.pad_id))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8"
    )


def manifest_fields(
    loaded: LoadedClassifier,
    run: Run | None,
    precision: Precision,
    model: onnx.ModelProto,
    *,
    traced: bool,
    quantization: Quantization,
    calibration: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return what the manifest says, its verification and its list of files left out."""
    settings = loaded.settings
    return {
        "task": settings.task,
        "labels": settings.labels,
        "activation": "softmax" if settings.task == "single_label" else "sigmoid",
        "pooling": settings.pooling,
        "paired": settings.paired,
        "max_tokens": settings.max_tokens,
        "truncation_side": settings.truncation_side,
        "pad_id": loaded.tokenizer.pad_id,
        "inputs": tuple(value.name for value in model.graph.input),
        "family": loaded.config.model_type,
        "precision": precision,
        "int8_scheme": quantization.scheme if precision == "int8" else None,
        "weight_bits": quantization.weight_bits if precision == "int8" else None,
        "embedding_bits": quantization.embedding_bits if precision == "int8" else None,
        "float_products": dict(quantization.kept) if precision == "int8" else {},
        "calibration": calibration,
        "graph": "traced" if traced else "built",
        "graph_form": "function" if model.functions else "flat",
        "metrics": {} if run is None else run.metrics,
        "vocabulary": None if run is None else run.info.get("vocabulary"),
        "teacher": None if run is None else _teacher(run),
        "data": None if run is None else run.info.get("data"),
        "versions": versions(_PACKAGES),
    }


def _teacher(run: Run) -> dict[str, Any] | None:
    """Return what the run says of its teacher, without its path: an artifact travels."""
    stored: dict[str, Any] | None = run.info.get("teacher")
    return stored and {name: value for name, value in stored.items() if name != "path"}


def seal(writer: ArtifactWriter, fields: dict[str, Any], title: str) -> None:
    """Write the card and the manifest; the card shows the sizes of the manifest before it."""
    card = writer.folder / "card.md"
    card.touch()
    card.write_text(card_text(writer.seal(**fields), title=title), encoding="utf-8")
    writer.seal(**fields)
