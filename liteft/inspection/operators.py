"""Operators and the opsets that have them, from the definitions that the onnx package holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import onnx

from liteft.inspection.nodes import Node
from liteft.inspection.result import Operator
from liteft.int8 import ONNX

__all__ = ["count_operators"]


def count_operators(nodes: Sequence[Node]) -> list[Operator]:
    """Return every kind of node with its count, the most frequent first."""
    first: dict[tuple[str, str], int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        key = (schema.domain or ONNX, schema.name)
        first[key] = min(schema.since_version, first.get(key, schema.since_version))
    counted = Counter((node.domain, node.operator, node.opset) for node in nodes)
    found = [
        Operator(name, domain, count, first.get((domain, name)), _meant(name, domain, opset))
        for (domain, name, opset), count in counted.items()
    ]
    return sorted(found, key=lambda operator: (-operator.nodes, operator.domain, operator.name))


def _meant(name: str, domain: str, opset: int | None) -> int | None:
    """Return the oldest opset with the definition that holds in this opset."""
    if opset is None or not 0 < opset < 1000:
        return None
    try:
        return int(onnx.defs.get_schema(name, opset, "" if domain == ONNX else domain).since_version)
    except onnx.defs.SchemaError:
        return None
