"""The weights of a classifier's node (``liteft.encoder.operator``) in their order: names, kinds and shapes.

A classifier is a list of slots: embedding tables, linear layers and layer norms. A slot stores one to three weights:
``weight``, ``scale`` if it is in int8, and ``bias`` unless it is a table. Matrices have the shape (inputs, outputs), so
that rows of activations are multiplied from the left; a vector is a matrix of one row. Linear layers with the same
input, such as query, key and value, are concatenated along their outputs into one slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from liteft.encoder.spec import EncoderSpec

__all__ = ["WORDS", "Kind", "Slot", "layout", "stored_shapes"]

Kind = Literal["table", "linear", "norm"]
WORDS = "embeddings.word"
"""The word embeddings, the only slot that may be stored in 4 bits."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An embedding table, a linear layer or a layer norm.

    Attributes:
        name: the slot's name; its weights are ``name.weight``, ``name.scale`` and ``name.bias``.
        kind: "table", "linear" or "norm".
        rows, columns: shape of ``name.weight`` in values: (rows, width) of a table, (inputs, outputs) of a linear
            layer, (1, width) of a norm.
        sources: neutral names of the linear layers that are concatenated in it; otherwise only its own name.
        quantizable: whether an int8 artifact stores it in int8.
    """

    name: str
    kind: Kind
    rows: int
    columns: int
    sources: tuple[str, ...]
    quantizable: bool

    def shapes(self, *, int8: bool) -> dict[str, tuple[int, int]]:
        """Return the slot's weights in their order: name -> (rows, columns) in values."""
        scales = (self.rows, 1) if self.kind == "table" else (1, self.columns)
        return {
            f"{self.name}.weight": (self.rows, self.columns),
            **({f"{self.name}.scale": scales} if int8 else {}),
            **({} if self.kind == "table" else {f"{self.name}.bias": (1, self.columns)}),
        }

    def source_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the model's weights that the slot stores: neutral name -> shape in torch, linear ones (out, in)."""
        if self.kind == "table":
            return {f"{self.name}.weight": (self.rows, self.columns)}
        outputs = self.columns // len(self.sources)
        weight = (outputs,) if self.kind == "norm" else (outputs, self.rows)
        shapes = {"weight": weight, "bias": (outputs,)}
        return {f"{source}.{part}": shape for source in self.sources for part, shape in shapes.items()}


def layout(spec: EncoderSpec) -> tuple[Slot, ...]:
    """Return the slots of a classifier, in the order of the node's inputs."""
    return tuple(_slots(spec))


def stored_shapes(spec: EncoderSpec, is_int8: Callable[[Slot], bool]) -> dict[str, tuple[int, int]]:
    """Return all stored weights in the order of the node's inputs: name -> (rows, columns) in values.

    Args:
        spec: the classifier.
        is_int8: whether a slot is stored in int8; called for quantizable slots only.
    """
    stored: dict[str, tuple[int, int]] = {}
    for slot in layout(spec):
        stored |= slot.shapes(int8=slot.quantizable and is_int8(slot))
    return stored


def _slots(spec: EncoderSpec) -> Iterator[Slot]:
    """Yield the slots in the order of the node's inputs."""
    width, inner, embedding = spec.width, spec.inner_width, spec.embedding_width
    yield _table(WORDS, spec.vocabulary, embedding)
    yield _table("embeddings.position", spec.positions, embedding)
    if spec.has_token_types:
        yield _table("embeddings.type", spec.token_types, embedding)
    yield _norm("embeddings.norm", embedding)
    if embedding != width:
        yield _linear("embeddings.project", embedding, width)
    for layer in range(spec.layers):
        name = f"layers.{layer}"
        # A layer that computes token 0 only needs its query alone, so the query is not concatenated with key and value.
        stacks = (("query",), ("key", "value")) if spec.cls_only(layer) else (("query", "key", "value"),)
        for parts in stacks:
            yield _stack(f"{name}.attention", parts, width)
        yield _linear(f"{name}.attention.output", width, width)
        yield _norm(f"{name}.attention.norm", width)
        yield _linear(f"{name}.feed_forward.inner", width, inner)
        yield _linear(f"{name}.feed_forward.outer", inner, width)
        yield _norm(f"{name}.feed_forward.norm", width)
    if spec.head != "none":
        yield _linear("head.dense", width, width, quantizable=False)
    yield _linear("classifier", width, spec.labels, quantizable=False)


def _table(name: str, rows: int, width: int) -> Slot:
    return Slot(name, "table", rows, width, (name,), quantizable=True)


def _norm(name: str, width: int) -> Slot:
    return Slot(name, "norm", 1, width, (name,), quantizable=False)


def _linear(name: str, inputs: int, outputs: int, *, quantizable: bool = True) -> Slot:
    return Slot(name, "linear", inputs, outputs, (name,), quantizable)


def _stack(prefix: str, parts: tuple[str, ...], width: int) -> Slot:
    sources = tuple(f"{prefix}.{part}" for part in parts)
    return Slot(f"{prefix}.{'_'.join(parts)}", "linear", width, len(parts) * width, sources, quantizable=True)
