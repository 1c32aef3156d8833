"""Iteration over all nodes of an ONNX model, with its functions expanded and its subgraphs included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx

from liteft.int8 import ONNX

__all__ = ["Node", "domain_of", "walk_nodes"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the expanded model.

    Attributes:
        name: its name, or that of its first output; in a function that is called more than once, prefixed with the
            calling node's name.
        domain: domain of its operator; "ai.onnx" for ONNX's own.
        operator: its operator type, such as "MatMul".
        inputs, outputs: names of values, unique in the whole model; "" for an omitted input.
        opset: opset version of its domain in the graph or function that it is in, or None.
        constant: the tensor of a Constant node, or None.
    """

    name: str
    domain: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int | None
    constant: onnx.TensorProto | None


def domain_of(name: str) -> str:
    """Return the full name of a domain: ONNX writes its own, "ai.onnx", as an empty string."""
    return name or ONNX


def walk_nodes(model: onnx.ModelProto) -> Iterator[Node]:
    """Yield every node in the graph's order; a call of a function is replaced by the function's nodes."""
    functions = {(function.domain, function.name): function for function in model.functions}
    opsets = {domain_of(entry.domain): int(entry.version) for entry in model.opset_import}
    calls = sum((node.domain, node.op_type) in functions for node in model.graph.node)
    yield from _walk(model.graph.node, functions, opsets, {}, "", alone=calls == 1)


def _walk(
    nodes: object,
    functions: Mapping[tuple[str, str], onnx.FunctionProto],
    opsets: Mapping[str, int],
    renamed: Mapping[str, str],
    prefix: str,
    *,
    alone: bool,
) -> Iterator[Node]:
    """Yield nodes and those of their functions and subgraphs.

    Args:
        nodes: nodes of a graph or function.
        functions: the model's functions, by domain and name.
        opsets: opset version by domain.
        renamed: formal inputs and outputs of the surrounding function -> values of the caller.
        prefix: of all other names in the surrounding function.
        alone: the model calls a single function, whose names need no prefix.
    """
    for node in nodes:  # type: ignore[attr-defined]
        inputs = tuple(_value(name, renamed, prefix) for name in node.input)
        outputs = tuple(_value(name, renamed, prefix) for name in node.output)
        name = prefix + (node.name or (node.output[0] if node.output else node.op_type))
        function = functions.get((node.domain, node.op_type))
        if function is not None:
            inner = dict(zip(function.input, inputs, strict=False)) | dict(zip(function.output, outputs, strict=False))
            inner |= {formal: "" for formal in function.input if formal not in inner}
            own = {domain_of(entry.domain): int(entry.version) for entry in function.opset_import}
            yield from _walk(function.node, functions, own, inner, "" if alone else f"{name}/", alone=False)
            continue
        domain = domain_of(node.domain)
        constant = next((each.t for each in node.attribute if each.name == "value" and each.HasField("t")), None)
        yield Node(
            name,
            domain,
            node.op_type,
            inputs,
            outputs,
            opsets.get(domain),
            constant if node.op_type == "Constant" else None,
        )
        for attribute in node.attribute:
            for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _walk(graph.node, functions, opsets, renamed, prefix, alone=False)


def _value(name: str, renamed: Mapping[str, str], prefix: str) -> str:
    """Return the model-wide name of a value; an omitted one stays ""."""
    if not name:
        return ""
    return renamed[name] if name in renamed else prefix + name
