"""The operators of a model and the opsets that define them, by the definitions in the onnx package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import onnx

from liteft.inspection.nodes import Node
from liteft.inspection.result import Operator
from liteft.int8 import ONNX

__all__ = ["count_operators"]


def count_operators(nodes: Sequence[Node]) -> list[Operator]:
    """Return every operator of a model with its number of nodes, the most frequent first."""
    first: dict[tuple[str, str], int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        key = (schema.domain or ONNX, schema.name)
        first[key] = min(schema.since_version, first.get(key, schema.since_version))
    counted = Counter((node.domain, node.operator, node.opset) for node in nodes)
    found = [
        Operator(name, domain, count, first.get((domain, name)), _unchanged_since(name, domain, opset))
        for (domain, name, opset), count in counted.items()
    ]
    return sorted(found, key=lambda operator: (-operator.nodes, operator.domain, operator.name))


def _unchanged_since(name: str, domain: str, opset: int | None) -> int | None:
    """Return the oldest opset with the same definition as in ``opset``; None if it is unknown."""
    if opset is None or not 0 < opset < 1000:
        return None
    try:
        return int(onnx.defs.get_schema(name, opset, "" if domain == ONNX else domain).since_version)
    except onnx.defs.SchemaError:
        return None
