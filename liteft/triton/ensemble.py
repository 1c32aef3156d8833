"""Writes an ensemble: a tokenizer in the Python backend, and the ragged graph in the ONNX Runtime backend.

NAME/config.pbtxt                 the ensemble, which clients ask
NAME/1/README                     Triton wants a folder for the version, and copies of folders lose empty ones
NAME_tokens/1/model.py            texts to ids
NAME_tokens/1/artifact/           manifest and tokenizer
NAME_graph/1/model.onnx           ids to labels
NAME_graph/1/libliteft.so         its operator
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from liteft.artifact import MANIFEST, TOKENIZER, Artifact
from liteft.errors import MissingExtraError
from liteft.installation import install_hint
from liteft.runtime import custom_ops_library
from liteft.runtime.native_library import has_library
from liteft.triton.config import WARMUP, ensemble_config, graph_config, python_config, warmup_inputs
from liteft.triton.parts import WARMUP_TEXT, write_labels, write_model, write_warmup
from liteft.triton.tensors import inputs_of, outputs_of, token_tensors
from liteft.triton.token_model import TokenModel, token_outputs

__all__ = ["graph_folder", "library_path", "no_ensemble", "token_folder", "write_ensemble"]


def token_folder(name: str) -> str:
    """Return the name of the model that splits texts into tokens."""
    return f"{name}_tokens"


def graph_folder(name: str) -> str:
    """Return the name of the model that is the graph."""
    return f"{name}_graph"


def library_path(name: str, models_path: str, library: Path) -> str:
    """Return the path of the library where Triton runs."""
    return f"{models_path.rstrip('/')}/{graph_folder(name)}/1/{library.name}"


def no_ensemble(artifact: Artifact) -> str | None:
    """Return why an artifact cannot be an ensemble, in a few words; None if it can."""
    manifest = artifact.manifest
    if manifest.answers is not None or manifest.task.per_word:
        return f"the results of {manifest.task} are made of several rows of logits, which no graph does"
    if not manifest.one_node:
        return (
            f"its graph is {'traced' if manifest.graph == 'traced' else 'flat'}, not the one node that libliteft runs"
        )
    if sys.platform != "linux":
        return "the native library of this machine is not one for Linux, where Triton runs"
    return None if has_library() else "this liteft has no native library"


def write_ensemble(artifact: Artifact, folder: Path, name: str, models_path: str) -> None:
    """Write the three models into the folder of a repository.

    Raises:
        MissingExtraError: onnx is not installed.
        DeviceError: there is no native library, or it was built without the operator.
    """
    library = Path(custom_ops_library())
    _write_tokens(artifact, folder / token_folder(name))
    mounted = library_path(name, models_path, library)
    _write_graph(artifact, folder / graph_folder(name), folder / token_folder(name), library, mounted)
    inputs, outputs, manifest = inputs_of(artifact.manifest), outputs_of(artifact.manifest), artifact.manifest
    taken, between = [each.name for each in inputs], [each.name for each in token_tensors(manifest)]
    given = [each.name for each in outputs if each.name != "truncated"]
    steps = [
        (token_folder(name), taken, [*between, "truncated"]),
        (graph_folder(name), between, given),
    ]
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "1" / "README").write_text("An ensemble has no files of its own.\n", "utf-8")
    if any(each.labelled for each in outputs):
        write_labels(folder / name, manifest.labels)
    (folder / name / "config.pbtxt").write_text(ensemble_config(name, inputs, outputs, steps=steps), "utf-8")


def _write_tokens(artifact: Artifact, folder: Path) -> None:
    (folder / "1" / "artifact").mkdir(parents=True)
    for each in (MANIFEST, TOKENIZER):
        shutil.copyfile(artifact.path / each, folder / "1" / "artifact" / each)
    write_model(folder / "1", what="Text in, token ids out.", module="token_model", base="TokenModel")
    inputs, outputs = inputs_of(artifact.manifest), token_outputs(artifact.manifest)
    write_warmup(folder, inputs)
    warmup = warmup_inputs(inputs, {each.name: (1,) for each in inputs})
    (folder / "config.pbtxt").write_text(python_config(folder.name, inputs, outputs, warmup=warmup), "utf-8")


def _write_graph(artifact: Artifact, folder: Path, tokens: Path, library: Path, mounted: str) -> None:
    """Write the graph with its library, and a first request: the tokens of the warm-up text."""
    try:
        from liteft.triton.ragged import graph_outputs, ragged_model
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise MissingExtraError(
            "the graph of an ensemble is written with onnx, which is not installed.", fix=install_hint("train")
        ) from None
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(ragged_model(artifact).SerializeToString(deterministic=True))
    shutil.copyfile(library, folder / "1" / library.name)
    inputs, outputs = token_tensors(artifact.manifest), graph_outputs(artifact.manifest)
    if any(each.labelled for each in outputs):
        write_labels(folder, artifact.manifest.labels)
    model = TokenModel()
    model.folder = tokens / "1"
    model.open(1)
    arrays = model.arrays(model.compute([(WARMUP_TEXT,) * len(model.inputs)]), 0, 1)
    (folder / WARMUP).mkdir()
    for each in inputs:
        (folder / WARMUP / each.name).write_bytes(arrays[each.name].astype("<i8").tobytes())
    warmup = warmup_inputs(inputs, {each.name: arrays[each.name].shape[1:] for each in inputs})
    text = graph_config(folder.name, inputs, outputs, warmup=warmup, library=mounted)
    (folder / "config.pbtxt").write_text(text, "utf-8")
