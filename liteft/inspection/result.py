"""The result of an inspection, as plain data and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from liteft.results import Result
from liteft.text_tables import aligned

__all__ = ["Form", "Inspection", "Kind", "Matmul", "Operator", "Place", "Status", "Tensor"]

Kind = Literal["embeddings", "attention", "feed-forward", "norms", "head", "rest", "graph", "tokenizer", "other files"]
Form = Literal["integer", "quantize-dequantize", "integer weights", "float", "activations"]
Status = Literal["runs", "does not run", "not checked"]
KINDS: tuple[Kind, ...] = (
    *("embeddings", "attention", "feed-forward", "norms", "head", "rest"),
    *("graph", "tokenizer", "other files"),
)
FORMS: dict[Form, str] = {
    "integer": "integer matmuls",
    "quantize-dequantize": "float matmuls between Q/DQ nodes, which an engine may compute in integers",
    "integer weights": "float matmuls with weights that are stored as integers",
    "float": "float matmuls with weights",
    "activations": "float matmuls of two activations, as in attention",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One stored tensor: its name, the part of the classifier it belongs to, its ONNX type, shape and bytes."""

    name: str
    kind: Kind
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Matmul:
    """One matrix product of a model.

    Attributes:
        name: name of the node.
        operator: operator type, prefixed with its domain unless that is ONNX's own.
        form: how it is computed; see ``FORMS``.
        weight: name of the stored weight matrix, or None if both inputs are computed.
        dtype: ONNX's name of the type that the weight is stored in, or None.
    """

    name: str
    operator: str
    form: Form
    weight: str | None
    dtype: str | None


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a model.

    Attributes:
        name: operator type, such as "MatMul".
        domain: "ai.onnx" or another domain.
        nodes: number of nodes, including those in functions.
        first_opset: the oldest opset of the domain that has the operator; None if the onnx package does not know it.
        opset: the oldest opset with the same definition as in this file's opset, or None.
    """

    name: str
    domain: str
    nodes: int
    first_opset: int | None
    opset: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """An engine, and whether it runs the model.

    Attributes:
        name: name of the engine.
        status: "runs" and "does not run" are the outcome of a test or stated by a source, named in ``how``.
        detail: what was observed.
        how: "checked here" with the version, or the source.
    """

    name: str
    status: Status
    detail: str
    how: str


@dataclass(frozen=True, slots=True)
class Inspection(Result):
    """What an artifact or an ONNX file consists of.

    Attributes:
        path: the inspected folder or file.
        model: name of the ONNX file.
        graph_form: "function": one node with its definition in the file; "flat": standard nodes only.
        opset: opset version of ONNX's own operators.
        ir_version: ONNX IR version of the file.
        tensors: all stored tensors, the largest first.
        files: bytes of every file, the manifest included, by name.
        kinds: bytes by kind; their sum is that of the files and of tensor data outside the model's file.
        matmuls: all matmuls, in the graph's order.
        operators: all operators, the most frequent first.
        places: the engines, and whether they run it.
    """

    path: Path
    model: str
    graph_form: Literal["function", "flat"]
    opset: int
    ir_version: int
    tensors: tuple[Tensor, ...]
    files: dict[str, int]
    kinds: dict[Kind, int]
    matmuls: tuple[Matmul, ...]
    operators: tuple[Operator, ...]
    places: tuple[Place, ...]

    @property
    def integer_matmuls(self) -> tuple[Matmul, ...]:
        """The matmuls that the file itself computes in integers."""
        return tuple(matmul for matmul in self.matmuls if matmul.form == "integer")

    @property
    def least_opset(self) -> int | None:
        """The oldest opset in which every ONNX operator has this file's definition; None if one is unknown."""
        found = [operator.opset for operator in self.operators if operator.domain == "ai.onnx"]
        return None if not found or None in found else max(opset for opset in found if opset is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as plain data, ready for JSON."""
        return {
            **asdict(self),
            "path": str(self.path),
            "bytes": sum(self.kinds.values()),
            "least_opset": self.least_opset,
            "integer_matmuls": len(self.integer_matmuls),
        }

    def render(self, *, tensors: int | None = 12) -> str:
        """Return the inspection as text.

        Args:
            tensors: how many of the largest tensors to show; None shows all.
        """
        shown = self.tensors if tensors is None else self.tensors[:tensors]
        parts = [
            f"{self.path}: opset {self.opset}, IR version {self.ir_version}, {_FORMS[self.graph_form]}",
            _table([("bytes by kind", "bytes", "%"), *_kind_rows(self.kinds)], texts=1),
            _table([("tensor", "kind", "type", "shape", "bytes"), *map(_tensor_row, shown)], texts=4),
        ]
        if len(shown) < len(self.tensors):
            parts[-1] += f"\n{len(self.tensors) - len(shown)} smaller tensors not shown"
        parts += [
            _table([("matmuls", "number", ""), *_matmul_rows(self.matmuls)], texts=(0, 2)),
            _table(
                [("operator", "nodes", "since opset", "unchanged since"), *map(_operator_row, self.operators)],
                texts=1,
            ),
            _table([("engine", "", ""), *map(_place_row, self.places)], texts=3),
        ]
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"Inspection({str(self.path)!r}: {self.graph_form}, {len(self.tensors):,} tensors)"


_FORMS = {"function": "one node with its definition in the file", "flat": "flat"}


def _kind_rows(kinds: dict[Kind, int]) -> list[tuple[str, ...]]:
    total = sum(kinds.values())
    rows = [(str(kind), f"{kinds[kind]:,}", f"{100 * kinds[kind] / total:.1f}") for kind in KINDS if kinds.get(kind)]
    return [*rows, ("all", f"{total:,}", "100.0")]


def _tensor_row(tensor: Tensor) -> tuple[str, ...]:
    return tensor.name, tensor.kind, tensor.dtype, "x".join(map(str, tensor.shape)) or "-", f"{tensor.bytes:,}"


def _matmul_rows(matmuls: Sequence[Matmul]) -> list[tuple[str, ...]]:
    """Return one row for each form, followed by the names of its weights, except for those of two activations."""
    rows: list[tuple[str, ...]] = []
    for form, words in FORMS.items():
        found = [matmul for matmul in matmuls if matmul.form == form]
        if not found:
            continue
        operators = ", ".join(f"{name} {count}" for name, count in Counter(each.operator for each in found).items())
        rows.append((words, str(len(found)), operators))
        if form != "activations":
            rows += [(f"  {each.weight or each.name}", "", each.dtype or "") for each in found]
    return rows or [("none", "0", "")]


def _operator_row(operator: Operator) -> tuple[str, ...]:
    name = operator.name if operator.domain == "ai.onnx" else f"{operator.domain}.{operator.name}"
    opsets = (operator.first_opset, operator.opset)
    return name, str(operator.nodes), *("?" if each is None else str(each) for each in opsets)


def _place_row(place: Place) -> tuple[str, ...]:
    return place.name, place.status, f"{place.detail} ({place.how})"


def _table(rows: Sequence[tuple[str, ...]], *, texts: int | Sequence[int]) -> str:
    return aligned([tuple(map(_shown, row)) for row in rows], texts=texts, rule=False)


def _shown(cell: str) -> str:
    """Return a name from a file so that it is safe to print: control characters escaped, at most 1,000 characters."""
    text = cell if cell.isprintable() else ascii(cell)
    return text if len(text) <= 1000 else f"{text[:1000]}..."
