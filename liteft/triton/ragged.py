"""The graph of an ensemble: texts one after the other, without padding, and names of labels out.

Triton joins ragged inputs of all requests of a batch in one axis. What it says of them then (``batch_input``) counts
requests, not texts: a request of several texts would be read as one long text. So the lengths of texts are an input of
their own, and the ids of a request are a rectangle whose padding is -1. The graph drops the padding before anything is
computed, and the node ``liteft.RaggedEncoderClassifier`` gets ids and offsets, which is what libliteft runs on.

The node is the artifact's own, with the same weights, attributes and definition: nodes before it unpack texts to the
rectangle that the definition takes. So this file, too, runs in ONNX Runtime without the library, with padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from liteft.artifact import Artifact, Manifest
from liteft.encoder.operator import DOMAIN, KIND, OFFSETS, OUTPUT, RAGGED_KIND, TOKENS, with_defaults
from liteft.triton.tensors import Tensor, outputs_of, token_tensors

__all__ = ["graph_outputs", "ragged_model", "ragged_node"]

_TYPES = {
    "TYPE_STRING": TensorProto.STRING,
    "TYPE_FP32": TensorProto.FLOAT,
    "TYPE_BOOL": TensorProto.BOOL,
    "TYPE_INT64": TensorProto.INT64,
}
_TEXT = (
    "Logits of an encoder classifier, float32 (texts, labels). Inputs 0 and 1 are the token ids of all texts, one text "
    "after the other, int64 (tokens), and where each text begins and the last one ends, int64 (texts + 1); token types "
    "(tokens) follow where there are any, then the weights, under the names in the attribute 'inputs'. The attributes "
    "describe the body and change nothing in it."
)
_LAST = np.iinfo(np.int64).max


def graph_outputs(manifest: Manifest) -> tuple[Tensor, ...]:
    """Return the outputs of the graph: those of the artifact but for ``truncated``, which the tokenizer knows."""
    return tuple(each for each in outputs_of(manifest) if each.name != "truncated")


def ragged_model(artifact: Artifact) -> onnx.ModelProto:
    """Return the ragged graph of an artifact whose graph is one node with logits of texts.

    Its inputs and outputs are those of `token_tensors` and `graph_outputs`.
    """
    manifest = artifact.manifest
    whole = onnx.load(artifact.model_path)
    node, function = ragged_node(whole)
    inputs, outputs = token_tensors(manifest), graph_outputs(manifest)
    nodes = _Nodes("")
    kept = nodes.op("GreaterOrEqual", "input_ids", nodes.integers(0, scalar=True), name="kept")
    packed = {each: nodes.op("Compress", each, kept, name=f"packed.{each}", axis=0) for each in _ids(inputs)}
    ends = nodes.op("Squeeze", "lengths", nodes.integers(1), name="text_lengths")
    ends = nodes.op("CumSum", ends, nodes.integers(0, scalar=True), name="ends")
    packed[OFFSETS] = nodes.op("Concat", nodes.integers(0), ends, name=OFFSETS, axis=0)
    for place, name in enumerate(node.input):
        node.input[place] = packed.get(name, name)
    nodes.all.append(node)
    _name_labels(nodes, manifest)
    names = [] if manifest.task.numeric else [_label_names(manifest)]
    graph = helper.make_graph(
        nodes.all,
        "ragged_encoder_classifier",
        [helper.make_tensor_value_info(each.name, TensorProto.INT64, _axes(each)) for each in inputs],
        [helper.make_tensor_value_info(each.name, _TYPES[each.data_type], _axes(each)) for each in outputs],
        [*whole.graph.initializer, *names],
    )
    model = helper.make_model(
        graph,
        functions=[function],
        opset_imports=whole.opset_import,
        ir_version=whole.ir_version,
        producer_name=whole.producer_name,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def ragged_node(whole: onnx.ModelProto) -> tuple[onnx.NodeProto, onnx.FunctionProto]:
    """Return the ragged node of a model that is one node, and its definition; the model is not changed.

    Args:
        whole: a model whose graph is one ``liteft.EncoderClassifier``.
    """
    ((old,), (definition,)) = whole.graph.node, whole.functions
    if (old.domain, old.op_type) != (DOMAIN, KIND):
        raise ValueError(f"the graph is one {old.op_type}, not {KIND}")
    written = {each.name: helper.get_attribute_value(each) for each in old.attribute}
    padding = int(with_defaults({name: _plain(value) for name, value in written.items()})["position_padding_id"])
    names = [OFFSETS if name == TOKENS[1] else name for name in old.input]
    node = helper.make_node(RAGGED_KIND, names, [OUTPUT], name=RAGGED_KIND, domain=DOMAIN)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in written.items() if name != "inputs")
    node.attribute.append(helper.make_attribute("inputs", " ".join(names)))
    body = _Nodes("ragged.")
    _unpack(body, padding, typed=TOKENS[2] in names)
    inner = [f"ragged.{name}" if name in (*TOKENS, OFFSETS) else name for name in names]
    function = helper.make_function(
        DOMAIN,
        RAGGED_KIND,
        inner,
        list(definition.output),
        [*body.all, *definition.node],
        definition.opset_import,
        attributes=list(definition.attribute),
        doc_string=_TEXT,
    )
    return node, function


class _Nodes:
    """Collects nodes; constants are named by their number, with a prefix that keeps them apart from other nodes'."""

    def __init__(self, prefix: str) -> None:
        self.all: list[onnx.NodeProto] = []
        self._prefix, self._made = prefix, 0

    def op(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Append a node with one output, and return its name."""
        self.all.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        """Append a constant and return its name."""
        self._made += 1
        name = f"{self._prefix}number.{self._made}"
        return self.op("Constant", name=name, value=numpy_helper.from_array(value, name))

    def integers(self, *values: int, scalar: bool = False) -> str:
        """Append a constant of int64, a vector or a single one, and return its name."""
        return self.constant(np.array(values[0] if scalar else values, dtype=np.int64))


def _unpack(nodes: _Nodes, padding: int, *, typed: bool) -> None:
    """Write the rectangles that a definition takes, (texts, longest): ids, mask and type ids.

    Ids are padded with the id from which a family counts positions, where there is one, as padding has no position.
    The ids are reshaped to as many as the offsets end with, so that others are an error and not left out.
    """
    op, integers, offsets = nodes.op, nodes.integers, f"ragged.{OFFSETS}"
    begins = op("Slice", offsets, integers(0), integers(-1), name="ragged.begins")
    ends = op("Slice", offsets, integers(1), integers(_LAST), name="ragged.ends")
    lengths = op("Sub", ends, begins, name="ragged.lengths")
    longest = op("ReduceMax", lengths, name="ragged.longest", keepdims=0)
    zero, one = integers(0, scalar=True), integers(1, scalar=True)
    columns = op("Unsqueeze", op("Range", zero, longest, one, name="ragged.range"), integers(0), name="ragged.columns")
    real = op("Less", columns, op("Unsqueeze", lengths, integers(1), name="ragged.ending"), name="ragged.real")
    first = op("Unsqueeze", begins, integers(1), name="ragged.beginning")
    places = op("Where", real, op("Add", first, columns, name="ragged.all"), zero, name="ragged.places")
    count = op("Slice", offsets, integers(-1), integers(_LAST), name="ragged.count")
    op("Cast", real, name=TOKENS[1], to=TensorProto.INT64)
    fill = zero if padding < 0 else integers(padding, scalar=True)
    for name, filling in ((TOKENS[0], fill), *(((TOKENS[2], zero),) if typed else ())):
        row = op("Reshape", f"ragged.{name}", count, name=f"ragged.{name}.row")
        taken = op("Gather", row, places, name=f"ragged.{name}.taken")
        op("Where", real, taken, filling, name=name)


def _name_labels(nodes: _Nodes, manifest: Manifest) -> None:
    """Write what follows the logits: scores, and the names of the best labels."""
    kinds = {"softmax": ("Softmax", {"axis": 1}), "sigmoid": ("Sigmoid", {}), "none": ("Identity", {})}
    kind, attributes = kinds[manifest.activation]
    if manifest.task.numeric:
        nodes.op(kind, OUTPUT, name="score", **attributes)
        return
    scores = OUTPUT
    if manifest.activation != "none":
        scores = nodes.op(kind, OUTPUT, name="probabilities", **attributes)
    best = nodes.op("ArgMax", scores, name="best", axis=1, keepdims=1)
    nodes.op("GatherElements", scores, best, name="score", axis=1)
    nodes.op("Gather", "label_names", best, name="label")
    if manifest.task.several:
        threshold = nodes.constant(np.array(0.5, dtype=np.float32))
        nodes.op("Greater", scores, threshold, name="chosen")


def _label_names(manifest: Manifest) -> onnx.TensorProto:
    names = [label.encode() for label in manifest.labels]
    return helper.make_tensor("label_names", TensorProto.STRING, [len(names)], names)


def _ids(tensors: tuple[Tensor, ...]) -> list[str]:
    return [each.name for each in tensors if each.ragged]


def _axes(tensor: Tensor) -> list[str | int]:
    return ["tokens"] if tensor.ragged else ["texts", *tensor.dims]


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
