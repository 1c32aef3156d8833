"""Wraps a built graph into one node, whose definition is a function in the same file.

The main graph of an exported classifier is a single node, ``liteft.EncoderClassifier`` or, without pooling,
``liteft.EncoderTokenClassifier``. An ONNX model-local function in the file defines it in standard operators. ONNX
Runtime inlines the function when it loads the file, and optimizes the result as it would optimize the flat graph, so
the file runs anywhere. An engine with its own kernel for a whole encoder does not have to find it among hundreds of
nodes: the attributes describe it, and the inputs are its weights. libliteft is such an engine, both as a kernel of ONNX
Runtime and on its own.

Weights stay initializers of the graph, where tools look for them, and are inputs of the function: a function cannot
have initializers, and a kernel could not reach weights that are constants inside it. Shapes, scalars and other
constants are nodes of the function.

The body is written in its final precision. A quantizer would leave a wrapped model unchanged, since quantizers walk the
nodes of the graph and not those of functions.

The node's form must stay compatible with every file that was ever written (liteft/encoder/operator.py): attributes that
equal their defaults are left out, and the domain's version is the lowest that knows the others.
"""

from __future__ import annotations

import onnx
from onnx import helper

from liteft.encoder.operator import DOMAIN, Value, kind_of, version_of, without_defaults
from liteft.encoder.spec import EncoderSpec
from liteft.exporting.builder import IR_VERSION
from liteft.exporting.quantization import Int8Plan
from liteft.form import Precision

__all__ = ["node_attributes", "wrap_model"]

_TEXT = (
    "Logits of an encoder classifier, float32 (texts, labels), or (texts, tokens, labels) if its pooling is 'none'; "
    "those of tokens that the mask hides mean nothing. Inputs 0 and 1 are token ids and mask, int64 (texts, "
    "tokens); token types follow where there are any, then the weights, under the names in the attribute 'inputs'. "
    "The attributes describe the body and change nothing in it."
)


def wrap_model(
    flat: onnx.ModelProto, spec: EncoderSpec, precision: Precision, quantization: Int8Plan | None = None
) -> onnx.ModelProto:
    """Return a built model as one node whose definition is a function in the model.

    Inputs, output and initializers are those of the flat model, in the same order; the function's nodes are its nodes.

    Args:
        flat: from `build_model`; it is not changed.
        spec: the classifier's specification.
        precision: in which the model was built.
        quantization: with which it was built.
    """
    graph = flat.graph
    names = [*(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)]
    outputs = [value.name for value in graph.output]
    attributes = node_attributes(names, spec, precision, quantization)
    kind = kind_of(spec.pooling)
    node = helper.make_node(kind, names, outputs, name=kind, domain=DOMAIN)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    function = helper.make_function(
        DOMAIN, kind, names, outputs, graph.node, flat.opset_import, attributes=list(attributes), doc_string=_TEXT
    )
    return helper.make_model(
        helper.make_graph([node], graph.name, graph.input, graph.output, graph.initializer),
        functions=[function],
        opset_imports=[*flat.opset_import, helper.make_opsetid(DOMAIN, version_of(attributes))],
        ir_version=IR_VERSION,
        producer_name=flat.producer_name,
    )


def node_attributes(
    inputs: list[str], spec: EncoderSpec, precision: Precision, quantization: Int8Plan | None = None
) -> dict[str, Value]:
    """Return the attributes to write: those of the node that differ from their defaults.

    Args:
        inputs: names of all inputs in order, token inputs first; a name must not contain a space.
        spec: the classifier's specification.
        precision: of its weights.
        quantization: the plan of an int8 graph.
    """
    quantization = quantization or Int8Plan()
    kept = " ".join(quantization.in_float) if precision == "int8" else ""
    values: dict[str, Value] = {
        "inputs": " ".join(inputs),
        "layers": spec.layers,
        "heads": spec.heads,
        "epsilon": spec.epsilon,
        "activation": spec.activation,
        "pooling": spec.pooling,
        "head": spec.head,
        "position_padding_id": spec.position_padding_id,
        "int8_scheme": (quantization.form.scheme if precision == "int8" else None) or "none",
        "float_products": kept,
    }
    return without_defaults(values)
