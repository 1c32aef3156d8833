"""``liteft.inspect``: report what an artifact or an ONNX file consists of."""

from __future__ import annotations

import os
from pathlib import Path

import onnx

from liteft.arguments import require_path
from liteft.artifact import MANIFEST, TOKENIZER, Artifact, read_artifact
from liteft.errors import ArtifactError, Hint, first_line
from liteft.inspection.matmuls import find_matmuls
from liteft.inspection.nodes import domain_of, walk_nodes
from liteft.inspection.operators import count_operators
from liteft.inspection.places import find_places
from liteft.inspection.result import KINDS, Inspection, Kind, Tensor
from liteft.inspection.tensors import read_tensors
from liteft.int8 import ONNX
from liteft.runtime.dry_run import check_file, check_graph
from liteft.runtime.onnx_content import StoredModel
from liteft.runtime.onnx_file import read_model

__all__ = ["inspect"]


def inspect(path: str | Path, *, trust: bool = False) -> Inspection:
    """Return what an artifact or an ONNX file consists of, and which engines run it.

    Functions of the model are expanded: the matmuls and operators are those that an engine computes which
    supports standard ONNX only. Installed engines run the file once, if it has nothing but what LiteFT writes.

    Args:
        path: an artifact's folder, the folder of a ``liteft.distill`` or ``liteft.search``, or an ONNX file; or, as a
            string, the repository of an artifact on the hub.
        trust: run any file. An untrusted file may take endless time or memory, or crash the process.

    Raises:
        ArtifactError: the path is neither an artifact nor an ONNX file, the artifact was changed, or a file is damaged.
    """
    require_path("path", path, accepted="the folder of an artifact, or an ONNX file")
    given, path = path, Path(path)
    artifact = None
    if os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises for impossible paths, this returns False
        model_path = path
    else:
        artifact = read_artifact(given)
        path = artifact.path
        model_path = artifact.model_path
    name = model_path.name if artifact is None else artifact.manifest.graph_file
    stored = read_model(model_path, outside=artifact is None)
    model = _read(model_path)
    nodes = list(walk_nodes(model))
    tensors = read_tensors(model, nodes)
    operators = count_operators(nodes)
    reason = _reason_not_to_run(model_path, stored, artifact)
    files = _files(path, model_path, artifact)
    opsets = {domain_of(entry.domain): int(entry.version) for entry in model.opset_import}
    return Inspection(
        path=path,
        model=name,
        graph_form="function" if model.functions else "flat",
        opset=opsets.get(ONNX, 0),
        ir_version=int(model.ir_version),
        tensors=tuple(tensors),
        files=files,
        kinds=_kinds(tensors, files, name, _outside(model)),
        matmuls=tuple(find_matmuls(model, nodes)),
        operators=tuple(operators),
        places=tuple(find_places(model, model_path, artifact, operators, reason=reason, trust=trust)),
    )


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # DecodeError, a different class in each of protobuf's implementations
        raise _not_a_model(path, first_line(error)) from error
    if not model.graph.node:
        raise _not_a_model(path, "it has no graph")
    return model


def _reason_not_to_run(path: Path, stored: StoredModel, artifact: Artifact | None) -> str:
    """Return why an untrusted file is not given to any engine; "" if it may run."""
    try:
        if artifact is None:
            check_file(path, stored)
        else:
            check_graph(artifact)
    except ArtifactError as error:
        return error.message.removeprefix(f"{path} ").removesuffix(".")
    return ""


def _not_a_model(path: Path, reason: str) -> ArtifactError:
    return ArtifactError(
        f"{path} is not an ONNX file, or is damaged: {reason}.",
        accepted={"accepted": "an artifact's folder, or an ONNX file"},
        fix=Hint(
            "liteft.inspect(folder), with the folder that liteft.export wrote",
            "liteft inspect FOLDER, with the folder that liteft export wrote",
        ),
    )


def _files(path: Path, model_path: Path, artifact: Artifact | None) -> dict[str, int]:
    """Return the bytes of every file, by name."""
    if artifact is None:
        return {model_path.name: path.stat().st_size}
    sizes = {name: entry.bytes for name, entry in artifact.manifest.files.items()}
    return sizes | {MANIFEST: (path / MANIFEST).stat().st_size}


def _outside(model: onnx.ModelProto) -> set[str]:
    """Return the names of the tensors whose data is stored outside the model's file."""
    return {tensor.name for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL}


def _kinds(tensors: list[Tensor], files: dict[str, int], model: str, outside: set[str]) -> dict[Kind, int]:
    """Return bytes by kind; "graph" is the rest of the model's file after its tensors: nodes, names, shapes."""
    found: dict[Kind, int] = dict.fromkeys(KINDS, 0)
    for tensor in tensors:
        found[tensor.kind] += tensor.bytes
    found["graph"] = max(0, files[model] - sum(tensor.bytes for tensor in tensors if tensor.name not in outside))
    for name, size in files.items():
        if name != model:
            found["tokenizer" if name == TOKENIZER else "other files"] += size
    return {kind: size for kind, size in found.items() if size}
