"""The verb: a trained classifier becomes an artifact folder, verified before it replaces anything.

Everything is written into a temporary sibling of the output. Only when the written graph, loaded as a user
would load it, agrees with the torch model does the folder take its place; until then an older artifact stays
untouched.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import onnx
from tokenizers import Tokenizer

from liteft import files
from liteft.artifact import MODEL, Artifact, ArtifactWriter, read_artifact, writing_artifact
from liteft.data import Split
from liteft.errors import ConfigError, ModelError, closest
from liteft.exporting.card import card_text
from liteft.exporting.edge import EDGE_GRAPHS, OPERATORS, Target, write_operators
from liteft.exporting.graph import build_model
from liteft.exporting.limits import Limits
from liteft.exporting.precision import Precision
from liteft.exporting.rewriting import store_half, store_rows
from liteft.exporting.traced import trace_model
from liteft.exporting.verify import verify_artifact
from liteft.exporting.weights import read_weights, reason_to_trace
from liteft.exporting.wrapping import wrap_model
from liteft.finetuning.adapters import adapter_of, parameter_count
from liteft.finetuning.model import LoadedClassifier, apply_settings, load_classifier, merged_classifier
from liteft.run import Run, model_weights_sha256, read_run

__all__ = ["export"]

_MOST_BYTES = 2**31 - 2**24
_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}
_PACKAGES = ("liteft", "torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy")
_LOCAL_KEYS = (
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
    "vocab_file",
    "local_files_only",
    "is_local",
)


def export(
    source: Run | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    precision: Precision = "fp32",
    flat: bool = False,
    target: Target | None = None,
    verify: Split | None = None,
    limits: Limits | None = None,
    progress: Callable[[str], None] | None = None,
) -> Artifact:
    """Export a trained classifier as a verified artifact and return it.

    Args:
        source: a run, its folder, or a model folder as LiteFT or transformers writes it. An adapter is merged into its
            base in float32, and what comes out is verified against the adapter on its base as that was trained.
        out: the artifact's folder. An older artifact there is replaced, once the new one is verified.
        precision: "fp32"; "fp16", half the file, computed in float32; or "int8", a quarter of the file and
            faster.
        flat: write a built graph as many standard nodes, for tools that do not know functions of a model, instead of
            as one node with its definition beside it. ONNX Runtime makes the same of both; libliteft runs the node
            only. Traced graphs are flat in any case.
        target: "edge", for phones and browsers: flat, laid out as transformers.js reads it, with the list of operators
            that a reduced onnxruntime needs. None for the usual folder.
        verify: texts to verify on, the validation split as a rule. There is no export without: it is an
            argument with a default only so that leaving it out can be explained. Texts without labels verify
            that the export agrees with the model, and nothing about the model.
        limits: how far the export may be from the model.
        progress: called with a line of text now and then.

    Returns:
        The artifact. Its manifest says whether the graph was built from the weights or traced (``graph``), and
        whether it is one node or flat (``graph_form``).

    Raises:
        VerificationError: the export does not agree with the model, or the model does not beat the majority
            class.
        ConfigError: an unknown precision or target, or no texts to verify on.
        ModelError: no classifier, or one that cannot be exported.
        RunError, ArtifactError: the source cannot be read, or the output cannot be written.
        DeviceError: LITEFT_LIBRARY names something else than the native library, which verifies too.
    """
    _check_choice("precision", precision, get_args(Precision))
    if target is not None:
        _check_choice("target", target, get_args(Target))
    if verify is None:
        raise ConfigError(
            "an export is verified on real texts, and none were given.",
            accepted={"verify": "a Split, with labels or without"},
            fix=["verify=data.validation", "liteft export RUN --data DATA"],
        )
    run, folder = _resolve(source)
    loaded = load_classifier(folder)
    if loaded.config.pad_token_id is None:
        loaded.config.pad_token_id = loaded.tokenizer.pad_id
    _check_size(loaded, precision, traced=False)
    whole = merged_classifier(loaded)
    reason = reason_to_trace(whole)
    _check_size(whole, precision, traced=reason is not None)
    with writing_artifact(Path(out)) as writer:
        _tell(progress, _graph_line(loaded, reason))
        model = _make_graph(whole, precision, traced=reason is not None, flat=flat or target == "edge")
        graph = EDGE_GRAPHS[precision] if target == "edge" else MODEL
        _save(model, writer.folder / graph)
        if target == "edge":
            write_operators(writer.folder / graph, writer.folder / OPERATORS)
        _write_companions(whole, writer.folder)
        fields = _fields(loaded, run, precision, model, traced=reason is not None) | {"graph_file": graph}
        title = _title(run, folder)
        _seal(writer, fields, title)
        checked = _verify(writer.folder, loaded, whole, verify, precision, limits, progress)
        checked["weights_sha256"] = model_weights_sha256(folder)
        _seal(writer, fields | {"verification": checked}, title)
    artifact = read_artifact(Path(out))
    size = f"{artifact.size_bytes / 1e6:.1f} MB"
    _tell(progress, f"exported {artifact.path}: {precision}, {size}, {_summary(checked)}")
    return artifact


def _verify(
    folder: Path,
    loaded: LoadedClassifier,
    whole: LoadedClassifier,
    split: Split,
    precision: Precision,
    limits: Limits | None,
    progress: Callable[[str], None] | None,
) -> dict[str, Any]:
    """Hold a graph to the model as it was trained.

    An adapter whose base is in 8 bits rounds what its layers read, which no float graph does: the graph is held to the
    merged weights as closely as any, and to what was trained as an int8 graph is, by its labels.
    """
    adapter = adapter_of(loaded.model)
    if adapter is None or adapter.quantization is None or adapter.quantization.bits != "8bit":
        return verify_artifact(folder, loaded, split, precision=precision, limits=limits, progress=progress)
    verify_artifact(folder, whole, split, precision=precision, limits=limits, progress=progress)
    return verify_artifact(
        folder, loaded, split, precision=precision, limits=limits, limits_of="int8", progress=progress
    )


def _tell(progress: Callable[[str], None] | None, line: str) -> None:
    if progress is not None:
        progress(line)


def _graph_line(loaded: LoadedClassifier, reason: str | None) -> str:
    if reason is None:
        return f"building the graph of a {loaded.config.model_type} from its weights"
    return f"tracing with torch.onnx.export, for a larger and slower graph than a built one: {reason}"


def _title(run: Run | None, folder: Path) -> str:
    data = None if run is None else (run.info.get("data") or {}).get("name")
    return f"Text classifier: {data or folder.resolve().name}"


def _resolve(source: Run | str | os.PathLike[str]) -> tuple[Run | None, Path]:
    """Return the run, where there is one, and the model's folder."""
    if not isinstance(source, Run):
        path = Path(source)
        if not path.is_dir():
            raise ModelError(
                f"{path} is no folder.", accepted={"source": "a finished run, or a model folder"}
            )
        if (path / "config.json").is_file() and not (path / "run.json").is_file():
            return None, path
        source = read_run(path)
    return source, source.model_path


def _make_graph(
    loaded: LoadedClassifier, precision: Precision, *, traced: bool, flat: bool
) -> onnx.ModelProto:
    """Return the model. What is built is flat at first: inlining a wrapped one would rename its nodes and values."""
    if not traced:
        weights = read_weights(loaded)
        model = build_model(weights, precision)
        model = model if flat else wrap_model(model, weights.spec, precision)
    else:
        model = trace_model(loaded)
        if precision == "fp16":
            store_half(model)
        elif precision == "int8" and not store_rows(model, labels=len(loaded.settings.labels)):
            raise ModelError(
                f"the traced graph of a {loaded.config.model_type} has no products that int8 could take.",
                fix="--precision fp16",
            )
    onnx.checker.check_model(model, full_check=True)
    return model


def _save(model: onnx.ModelProto, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _write_companions(loaded: LoadedClassifier, folder: Path) -> None:
    """Write the tokenizer and the two configuration files that transformers reads."""
    settings, tokenizer = loaded.settings, loaded.tokenizer
    (folder / "tokenizer.json").write_text(tokenizer.json_text, encoding="utf-8")
    apply_settings(loaded.config, settings)
    loaded.config.save_pretrained(folder)
    stored = loaded.path / "tokenizer_config.json"
    content: dict[str, Any] = files.read_json(stored) if stored.is_file() else {}
    content = {name: value for name, value in content.items() if name not in _LOCAL_KEYS}
    if content.get("tokenizer_class", "TokenizersBackend") == "TokenizersBackend":
        content["tokenizer_class"] = "PreTrainedTokenizerFast"
    content["model_max_length"] = settings.max_tokens
    content["truncation_side"] = settings.truncation_side
    content.setdefault("pad_token", Tokenizer.from_str(tokenizer.json_text).id_to_token(tokenizer.pad_id))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8"
    )


def _fields(
    loaded: LoadedClassifier, run: Run | None, precision: Precision, model: onnx.ModelProto, *, traced: bool
) -> dict[str, Any]:
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
        "int8_scheme": "per_row" if precision == "int8" else None,
        "graph": "traced" if traced else "built",
        "graph_form": "function" if model.functions else "flat",
        "metrics": {} if run is None else run.metrics,
        "teacher": None if run is None else _teacher(run),
        "data": None if run is None else run.info.get("data"),
        "versions": _versions(),
    }


def _teacher(run: Run) -> dict[str, Any] | None:
    """Return what the run says of its teacher, without its path: an artifact travels."""
    stored: dict[str, Any] | None = run.info.get("teacher")
    return stored and {name: value for name, value in stored.items() if name != "path"}


def _seal(writer: ArtifactWriter, fields: dict[str, Any], title: str) -> None:
    """Write the card and the manifest; the card shows the sizes of the manifest before it."""
    card = writer.folder / "card.md"
    card.touch()
    card.write_text(card_text(writer.seal(**fields), title=title), encoding="utf-8")
    writer.seal(**fields)


def _check_size(loaded: LoadedClassifier, precision: Precision, *, traced: bool) -> None:
    """Refuse what protobuf cannot hold. Traced graphs pass through float32, whatever they are stored in."""
    parameters = parameter_count(loaded.model)
    size = parameters * _BYTES["fp32" if traced else precision]
    if size > _MOST_BYTES:
        raise ModelError(
            f"{loaded.path} has {parameters:,} parameters, {size / 1e9:.1f} GB as a graph in {precision}.",
            accepted={"one ONNX file": "2 GB"},
            fix=[*([] if traced else ["--precision int8, or fp16"]), "distil it into a smaller student"],
        )


def _check_choice(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        near = closest(given, known)
        raise ConfigError(
            f"{name} {given!r} is unknown.",
            accepted={name: ", ".join(known)},
            fix=f"--{name} {near}" if near else (),
        )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _summary(checked: dict[str, Any]) -> str:
    agreed = f"same label as the model on {100 * checked['agreement']:.2f}% of {checked['texts']:,} texts"
    if checked["accuracy"] is None:
        return agreed
    return (
        f"{agreed}, accuracy {100 * checked['accuracy']:.2f}% (model {100 * checked['model_accuracy']:.2f}%)"
    )
