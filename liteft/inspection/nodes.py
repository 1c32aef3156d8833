"""The nodes that a file really has: functions of the model taken apart, subgraphs walked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx

from liteft.int8 import ONNX

__all__ = ["Node", "domain_of", "walk_nodes"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node outside of any function.

    Attributes:
        name: its name, or that of its first output; those of a function that is used more than once have the name of
            the caller before them.
        domain: "ai.onnx" for ONNX's own.
        operator: its type.
        inputs, outputs: names of values of the whole model; "" where an input is left out.
        opset: the version of its domain that holds where it stands, or None.
        constant: what a Constant node holds, where it is a tensor.
    """

    name: str
    domain: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int | None
    constant: onnx.TensorProto | None


def domain_of(name: str) -> str:
    """Return the domain under the name that people know it by."""
    return name or ONNX


def walk_nodes(model: onnx.ModelProto) -> Iterator[Node]:
    """Yield every node, in the graph's order; the nodes of a function take the place of those that call it."""
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
    if not name:
        return ""
    return renamed[name] if name in renamed else prefix + name
