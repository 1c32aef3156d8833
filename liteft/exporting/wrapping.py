"""A built graph as one node, which says what it computes, with its definition beside it.

The main graph of an exported classifier is a single node, ``liteft.EncoderClassifier``. What it computes stands in the
same file, as an ONNX model-local function in standard operators: ONNX Runtime inlines it when it loads the file and
optimizes what comes out as it would optimize the flat graph, so the file runs anywhere. Whoever has a kernel of their
own for a whole encoder need not find it in hundreds of nodes: the attributes say what it is, the inputs are its
weights. libliteft does that, below ONNX Runtime and without it.

Weights stay initializers of the graph, where tools look for them, and come into the function as inputs: a function has
no initializers, and a weight as a constant in it would be out of a kernel's reach. Shapes, scalars and the rest of the
constants are nodes of the function.

The precision is chosen before. Quantizers walk the nodes of the graph and not those of functions, so a wrapped model
would go through one unchanged; here the body comes in the precision that it is to have.

The node's form is a contract with every file in the world (liteft/encoder/operator.py): attributes that equal their
defaults are not written, and the domain's version is the lowest that knows those that are.
"""

from __future__ import annotations

import onnx
from onnx import helper

from liteft.encoder.operator import DOMAIN, KIND, Value, version_of, without_defaults
from liteft.encoder.spec import EncoderSpec
from liteft.exporting.builder import IR_VERSION
from liteft.exporting.quantization import Int8Plan
from liteft.form import Precision

__all__ = ["node_attributes", "wrap_model"]

_TEXT = (
    "Logits of an encoder classifier, float32 (texts, labels). Inputs 0 and 1 are token ids and mask, int64 (texts, "
    "tokens); token types follow where there are any, then the weights, under the names in the attribute 'inputs'. "
    "The attributes describe the body and change nothing in it."
)


def wrap_model(
    flat: onnx.ModelProto, spec: EncoderSpec, precision: Precision, quantization: Int8Plan | None = None
) -> onnx.ModelProto:
    """Return a built model as one node whose definition is a function in the file.

    Inputs, output and initializers are those of the flat model, in the same order; so are the function's nodes.

    Args:
        flat: from `build_model`; it is left alone.
        spec: what it computes.
        precision: that it was built in.
        quantization: that it was built with.
    """
    graph = flat.graph
    names = [*(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)]
    outputs = [value.name for value in graph.output]
    attributes = node_attributes(names, spec, precision, quantization)
    node = helper.make_node(KIND, names, outputs, name=KIND, domain=DOMAIN)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    function = helper.make_function(
        DOMAIN, KIND, names, outputs, graph.node, flat.opset_import, attributes=list(attributes), doc_string=_TEXT
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
    """Return the attributes of the node that are written.

    Args:
        inputs: names of all inputs in order, token inputs first; without spaces.
        spec: what the node computes.
        precision: of its weights.
        quantization: in int8.
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
