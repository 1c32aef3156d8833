"""The engines that run a model: installed engines are tested, others are looked up in their documentation.

Nothing is guessed from the graph. An engine that is neither installed nor documented is "not checked".
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from liteft import files
from liteft.artifact import Artifact
from liteft.data import Split
from liteft.encoder.operator import DOMAIN, KINDS, TOKENS
from liteft.errors import LiteftError, first_line
from liteft.inspection.nodes import walk_nodes
from liteft.inspection.result import Operator, Place
from liteft.installation import install_hint
from liteft.int8 import INTEGER_MATMULS, ONNX
from liteft.runtime import load
from liteft.runtime.encoder_file import read_classifier
from liteft.runtime.native_library import has_library
from liteft.runtime.onnx_engine import import_onnxruntime
from liteft.runtime.splits import split_logits
from liteft.words import words_of_texts

__all__ = ["find_places"]

_STANDARD = (ONNX, "com.microsoft")
_MOBILE = "https://central.sonatype.com/artifact/com.microsoft.onnxruntime/onnxruntime-android"
_WEB = "https://www.npmjs.com/package/onnxruntime-web, version 1.30"
_WEBGPU = "docs/webgpu-operators.md of onnxruntime-web 1.30"
# fmt: off
_GPU_OPERATORS = frozenset({
    "Abs", "Acos", "Acosh", "Add", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "Attention",
    "AveragePool", "BatchNormalization", "BiasAdd", "BiasSplitGelu", "Cast", "Ceil", "Clip", "Concat", "Conv",
    "ConvTranspose", "Cos", "Cosh", "CumSum", "DFT", "DepthToSpace", "DequantizeLinear", "Div", "Einsum", "Elu",
    "Equal", "Erf", "Exp", "Expand", "FastGelu", "Flatten", "Floor", "FusedConv", "Gather",
    "GatherBlockQuantized", "GatherElements", "GatherND", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool",
    "Greater", "GreaterOrEqual", "GridSample", "GroupQueryAttention", "HardSigmoid", "HardSwish", "If",
    "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "MatMul",
    "MatMulNBits", "MaxPool", "Mul", "MultiHeadAttention", "Neg", "Not", "Pad", "Pow", "QuickGelu", "Range",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "RotaryEmbedding",
    "ScatterND", "Shape", "Sigmoid", "SimplifiedLayerNormalization", "Sin", "Sinh", "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tan", "Tanh",
    "ThresholdedRelu", "Tile", "Transpose", "Unsqueeze", "Where", "Constant",
})
# fmt: on


def find_places(
    model: onnx.ModelProto,
    path: Path,
    artifact: Artifact | None,
    found: Sequence[Operator],
    *,
    reason: str = "",
    trust: bool = False,
) -> list[Place]:
    """Return for every engine whether it runs a model.

    Args:
        model: the model, with or without its tensors' data.
        path: the ONNX file.
        artifact: the artifact that the file is part of, or None.
        found: the model's operators.
        reason: why installed engines must not run the file; "" if they may.
        trust: as in ``liteft.load``: run it in spite of ``reason``.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", ONNX)), 0)
    guarded = f"not tested, because the file {reason[:300]}; liteft inspect --trust tests it anyway"
    tested = [
        Place(name, "not checked", guarded, "not run") if reason and not trust else test()
        for name, test in (
            ("onnxruntime", partial(_onnxruntime, path)),
            ("LiteFT's native engine", partial(_native, path, artifact, trust)),
            ("OpenVINO", partial(_openvino, path)),
        )
    ]
    return [
        *tested,
        _documented("onnxruntime, mobile packages", found, f"releases that support opset {opset}", _MOBILE),
        _documented("onnxruntime-web, WebAssembly", found, f"releases that support opset {opset}", _WEB),
        _webgpu(found),
    ]


def _onnxruntime(path: Path) -> Place:
    """Load the file in onnxruntime, run two tokens, and count the integer matmuls of the graph that it optimized."""
    name = "onnxruntime"
    if importlib.util.find_spec("onnxruntime") is None:
        return Place(name, "not checked", f"it is not installed: {install_hint('cpu')}", "not installed")
    onnxruntime: Any = import_onnxruntime()
    how = f"checked here, {onnxruntime.__version__} on the CPU"
    with files.temporary_folder() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "optimized.bin")
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has its own classes of errors, without a common base
            return Place(name, "does not run", first_line(error), how)
        optimized = onnx.load(options.optimized_model_filepath, load_external_data=False)
    counted = Counter((node.domain, node.operator) for node in walk_nodes(optimized))
    integer = {kind[1]: counted[kind] for kind in INTEGER_MATMULS if counted[kind]}
    counts = ", ".join(f"{operator} {count}" for operator, count in integer.items()) or "none"
    detail = f"integer matmuls after its own optimizations: {counts}"
    feeds = _feeds({each.name: each.type for each in session.get_inputs()})
    if feeds is None:
        return Place(name, "runs", f"loaded, but not run, because its inputs are not tokens; {detail}", how)
    try:
        session.run(None, feeds)
    except Exception as error:
        return Place(name, "does not run", first_line(error), how)
    return Place(name, "runs", detail, how)


def _native(path: Path, artifact: Artifact | None, trust: bool) -> Place:
    """Read the file as the native engine does, and run a text if it is part of an artifact."""
    name = "LiteFT's native engine"
    try:
        read_classifier(path)
    except LiteftError as error:
        return Place(name, "does not run", error.message.removeprefix(f"{path} "), "checked here")
    if not has_library():
        return Place(name, "not checked", "it can read the file, but the library is not built here", "not installed")
    if artifact is None:
        return Place(name, "not checked", "it can read the file, but only runs files in an artifact", "checked here")
    try:
        with load(artifact.path, device="cpu", backend="native", trust=trust) as classifier:
            split_logits(classifier, _a_text(artifact))
    except LiteftError as error:
        return Place(name, "does not run", error.message, "checked here")
    return Place(name, "runs", "the whole encoder in one node, without padding", "checked here")


def _a_text(artifact: Artifact) -> Split:
    """Return a text, or a pair, that an artifact can run."""
    manifest = artifact.manifest
    marked = np.zeros(1, dtype=np.int64) if manifest.marked else None
    words = words_of_texts(["a text"]) if manifest.task.per_word else None
    return Split("a text", ["a text"], ["another"] if manifest.paired else None, words=words, marked=marked)


def _openvino(path: Path) -> Place:
    """Compile the file in OpenVINO and run two tokens."""
    name = "OpenVINO"
    if importlib.util.find_spec("openvino") is None:
        return Place(name, "not checked", "to test it, pip install openvino and inspect again", "not installed")
    import openvino  # type: ignore[import-not-found,unused-ignore]

    how = f"checked here, {openvino.__version__.split('-')[0]} on the CPU"
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), "CPU")
        feeds = _feeds({each.get_any_name(): str(each.get_element_type()) for each in compiled.inputs})
        if feeds is None:
            return Place(name, "runs", "compiled, but not run, because its inputs are not tokens", how)
        compiled(feeds)
    except Exception as error:  # RuntimeError and OpenVINO's own classes; the last line of the message has the cause
        reason = ([line for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1].strip(" -")
        wrapped = any(f"{DOMAIN}.{kind}" in reason for kind in KINDS)
        hint = "; liteft export --flat writes nodes that it supports" if wrapped else ""
        return Place(name, "does not run", f"{reason[:200]}{hint}", how)
    return Place(name, "runs", "compiled and run", how)


def _documented(name: str, found: Sequence[Operator], needs: str, source: str) -> Place:
    """Return whether a build that documents all of ONNX's operators runs a file: it must not have custom operators."""
    custom = sorted({f"{each.domain}.{each.name}" for each in found if each.domain not in _STANDARD})
    if custom:
        return Place(name, "does not run", f"custom operators: {', '.join(custom)}", source)
    return Place(name, "runs", f"{needs}; these builds have every ONNX operator", source)


def _webgpu(found: Sequence[Operator]) -> Place:
    """Return how many nodes onnxruntime-web runs on WebGPU, by its documented list of GPU kernels."""
    name = "onnxruntime-web, WebGPU"
    missing = sorted({each.name for each in found if each.name not in _GPU_OPERATORS or each.domain not in _STANDARD})
    if not missing:
        return Place(name, "runs", "every operator has a GPU kernel", _WEBGPU)
    counted = sum(each.nodes for each in found if each.name in missing)
    text = f"{counted} nodes have no GPU kernel and run in WebAssembly: {', '.join(missing)}"
    return Place(name, "runs" if _documented(name, found, "", "").status == "runs" else "does not run", text, _WEBGPU)


def _feeds(inputs: dict[str, str]) -> dict[str, np.ndarray] | None:
    """Return one text of two tokens as a model's inputs, each (1, 2); None if the inputs are not token inputs.

    Args:
        inputs: name -> element type; int32 if that contains "32", else int64.
    """
    if not inputs or any(name not in TOKENS for name in inputs):
        return None
    dtypes = {name: np.int32 if "32" in kind else np.int64 for name, kind in inputs.items()}
    values = dict(zip(TOKENS, (1, 1, 0), strict=True))
    return {name: np.full((1, 2), values[name], dtype=dtype) for name, dtype in dtypes.items()}
