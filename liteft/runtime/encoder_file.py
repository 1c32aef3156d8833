"""Reading model.onnx without onnx or onnxruntime: one node, its attributes, its weights.

An exported classifier's graph is a single node, ``liteft.EncoderClassifier`` or ``liteft.EncoderTokenClassifier``,
whose inputs are the token ids and the weights. That is all the native engine needs, so only those parts are read; the
node's definition in standard operators, for other engines, is skipped. Weights are views into the mapped file: they use
no memory until they are read.

Anything unexpected is refused with a reason: another graph, a later version of the node, an unknown attribute
or weight that might change the result. It is better not to run than to run a different model.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from liteft.encoder.layout import WORDS, Slot, layout, stored_shapes
from liteft.encoder.operator import (
    ATTRIBUTES,
    DOMAIN,
    END_NODES,
    ENDS,
    KINDS,
    OUTPUT,
    TOKEN_KIND,
    TOKENS,
    VERSION,
    Value,
    kind_of,
    with_defaults,
)
from liteft.encoder.spec import EncoderSpec
from liteft.errors import ArtifactError, option
from liteft.runtime.onnx_content import StoredValue, has_endless_value
from liteft.runtime.onnx_file import map_file
from liteft.runtime.onnx_tensors import read_value
from liteft.runtime.protobuf import Malformed, Message, Span

__all__ = ["StoredClassifier", "read_classifier"]

_SPEC_ATTRIBUTES = ("layers", "heads", "epsilon", "activation", "pooling", "head", "position_padding_id")
_WORDS_TABLE = f"{WORDS}.weight"
_FLOAT, _INT, _STRING = 1, 2, 3  # AttributeProto.AttributeType
_KINDS: dict[type, tuple[int, int]] = {float: (_FLOAT, 2), int: (_INT, 3), str: (_STRING, 4)}  # and the value's field
_TYPES: dict[int, np.dtype[Any]] = {  # TensorProto.DataType
    1: np.dtype("<f4"),
    2: np.dtype("|u1"),  # two 4-bit values
    3: np.dtype("|i1"),
    10: np.dtype("<f2"),
}
_NODES = " or ".join(f"{DOMAIN}.{kind}" for kind in KINDS)
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class StoredClassifier:
    """A classifier as stored in the file.

    Attributes:
        inputs: names of the token inputs, in order.
        spec: the architecture.
        int8_scheme: how activations are quantized; "none" if they are not.
        float_products: linear layers of an int8 classifier whose products are in float, by name; their weights are
            float32, or still int8 with scales.
        weights: name -> view into the file, float32, float16 or int8, shape (rows, columns); a vector is one
            row. Possibly unaligned. The word table may be uint8, shape (rows, columns / 2): two 4-bit values per byte.
    """

    inputs: tuple[str, ...]
    spec: EncoderSpec
    int8_scheme: str
    weights: dict[str, np.ndarray]
    float_products: frozenset[str] = frozenset()


def read_classifier(path: Path) -> StoredClassifier:
    """Return the classifier in an ONNX file.

    Raises:
        ArtifactError: the file cannot be read or contains something else; the message says what.
    """
    try:
        return _Reader(path, map_file(path)).classifier()
    except (Malformed, UnicodeDecodeError, struct.error) as error:
        raise ArtifactError(
            f"{path} is not an ONNX file, or is damaged: {error}.", fix="export the model again"
        ) from error


class _Reader:
    """Reads the messages of one file, by the field numbers of onnx.proto."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self._path, self._mapped = path, mapped
        self._read = Message(memoryview(mapped))
        self._labels: int | None = None  # from the graph's output, as are its axes
        self._axes = 0

    def classifier(self) -> StoredClassifier:
        graph, version = self._model()
        nodes, tensors, inputs, outputs = self._graph(graph)
        kind, found, results, attributes = self._node(nodes[0])
        if not 1 <= version <= VERSION:
            self._refuse(f"contains version {version} of {DOMAIN}.{kind}, and this liteft knows version {VERSION}")
        if kind != kind_of(str(attributes["pooling"])):
            self._refuse(f"contains the node {DOMAIN}.{kind} with pooling {attributes['pooling']}")
        if self._axes != (3 if kind == TOKEN_KIND else 2):
            self._refuse(f"declares logits of {self._axes} axes, which {DOMAIN}.{kind} does not give")
        if results != [OUTPUT] or outputs != ([OUTPUT] if len(nodes) == 1 else [OUTPUT, *ENDS]):
            self._refuse(f"gives {', '.join(outputs)}, not {OUTPUT}")
        if len(nodes) > 1 and (self._labels != len(ENDS) or kind != TOKEN_KIND):
            self._refuse(f"splits the logits of {self._labels} labels into {' and '.join(ENDS)}")
        if attributes["inputs"] != " ".join(found) or inputs != list(TOKENS[: len(inputs)]) or len(inputs) < 2:
            self._refuse("names its node's inputs differently from the node")
        if found[: len(inputs)] != inputs:
            self._refuse("feeds its node something other than token ids, mask and weights")
        names = found[len(inputs) :]
        weights = {name: self._weight(name, tensors[name]) for name in names if name in tensors}
        if len(weights) != len(names):
            self._refuse("has a duplicate weight, or one that is missing")
        stored = StoredClassifier(
            tuple(inputs),
            self._spec(attributes, weights, has_types=len(inputs) == len(TOKENS)),
            str(attributes["int8_scheme"]),
            weights,
            frozenset(str(attributes["float_products"]).split()),
        )
        self._check_weights(stored)
        return stored

    def _spec(self, attributes: dict[str, Value], weights: dict[str, np.ndarray], *, has_types: bool) -> EncoderSpec:
        """Return the architecture of the node, from its attributes and the sizes of its weights."""
        read = [_WORDS_TABLE, "embeddings.position.weight", "layers.0.attention.output.weight"]
        read += ["layers.0.feed_forward.inner.weight", "classifier.weight"]
        read += ["embeddings.type.weight"] if has_types else []
        if missing := [name for name in read if name not in weights]:
            self._refuse(f"has weights that do not match its attributes: {missing[0]}")
        words, positions, output, inner, classifier, *types = (weights[name].shape for name in read)
        words_in_byte = 2 if weights[_WORDS_TABLE].dtype == np.uint8 else 1
        named = {name: attributes[name] for name in _SPEC_ATTRIBUTES}
        spec = EncoderSpec(
            width=output[1],
            inner_width=inner[1],
            embedding_width=words_in_byte * words[1],
            vocabulary=words[0],
            positions=positions[0],
            token_types=types[0][0] if types else 0,
            labels=classifier[1],
            **named,  # type: ignore[arg-type]
        )
        if spec.per_token and spec.head != "none":
            self._refuse(f"has the head {spec.head} without pooling")
        return spec

    def _model(self) -> tuple[Span, int]:
        """Return the graph's span, and the version of the node's domain."""
        graphs: list[Span] = []
        versions: list[int] = []
        for number, value in self._read.fields(self._read.whole):
            if number == 7:
                graphs.append(self._read.span(value))
            elif number == 8:
                domain, version = "", 0
                for part, each in self._read.fields(self._read.span(value)):
                    if part == 1:
                        domain = self._read.text(each)
                    elif part == 2:
                        version = self._read.number(each)
                versions += [version] if domain == DOMAIN else []
        if len(graphs) != 1:
            raise Malformed(f"{len(graphs)} graphs")
        if len(versions) > 1:
            raise Malformed(f"{len(versions)} versions of the domain {DOMAIN}")
        return graphs[0], versions[0] if versions else 0

    def _graph(self, span: Span) -> tuple[list[Span], dict[str, Span], list[str], list[str]]:
        """Return the nodes, the tensors by name, and the names of inputs and outputs.

        There is one node, and behind it may be those that split logits into starts and ends.
        """
        nodes: list[Span] = []
        tensors: list[Span] = []
        inputs: list[str] = []
        outputs: list[str] = []
        for number, value in self._read.fields(span):
            if number == 1:
                nodes.append(self._read.span(value))
            elif number == 5:
                tensors.append(self._read.span(value))
            elif number in (11, 12):
                found = read_value(self._read, self._read.span(value))
                if number == 11 or found.name not in ENDS:  # which no engine is asked for
                    self._check_value(found, kind=7 if number == 11 else 1)
                (inputs if number == 11 else outputs).append(found.name)
            elif number == 15:
                self._refuse("has sparse weights")
        if len(nodes) != 1 and [self._plain_node(node) for node in nodes[1:]] != [*END_NODES]:
            self._refuse(f"is a graph of {len(nodes):,} nodes, not the one node {_NODES}")
        by_name = {self._read.one_text(tensor, 8): tensor for tensor in tensors}
        if len(by_name) != len(tensors):
            raise Malformed("two weights of one name")
        return nodes, by_name, inputs, outputs

    def _check_value(self, value: StoredValue, *, kind: int) -> None:
        """Refuse inputs that are not two-dimensional int64, and logits that are not float32 of two or three axes."""
        shape, axes = value.shape or (), (2, 3) if kind == 1 else (2,)
        if value.kind != kind or len(shape) not in axes or any(size is not None for size in shape[:-1]):
            self._refuse(f"has {value.name[:80]} of a type or shape that this liteft does not know")
        if kind == 1:
            self._axes, self._labels = len(shape), shape[-1]

    def _plain_node(self, span: Span) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Return operator, inputs and outputs of one of ONNX's own nodes; its domain too, if it is none of these."""
        named: dict[int, list[str]] = {1: [], 2: [], 4: [], 7: []}
        for number, value in self._read.fields(span):
            if number in named:
                named[number].append(self._read.text(value))
        return ".".join([*filter(None, named[7]), *named[4]]), tuple(named[1]), tuple(named[2])

    def _node(self, span: Span) -> tuple[str, list[str], list[str], dict[str, Value]]:
        """Return the node's name, inputs, outputs and attributes."""
        inputs: list[str] = []
        outputs: list[str] = []
        named = {4: "", 7: "", 8: ""}  # op_type, domain, overload
        attributes: dict[str, Value] = {}
        spans = []
        for number, value in self._read.fields(span):
            if number in (1, 2):
                (inputs if number == 1 else outputs).append(self._read.text(value))
            elif number == 5:
                spans.append(self._read.span(value))
            elif number in named:
                named[number] = self._read.text(value)
        kind = named[4]
        if kind not in KINDS or (named[7], named[8]) != (DOMAIN, ""):
            self._refuse(f"contains the node {named[7]}.{kind}, not {_NODES}")
        for each in spans:
            name, found = self._attribute(each)
            if name in attributes:
                raise Malformed(f"attribute {name} twice")
            attributes[name] = found
        try:
            return kind, inputs, outputs, with_defaults(attributes)
        except KeyError as error:
            self._refuse(f"lacks the attribute {error.args[0]}")

    def _attribute(self, span: Span) -> tuple[str, Value]:
        name = self._read.one_text(span, 1)
        known = ATTRIBUTES.get(name)
        if known is None:
            self._refuse(f"has an attribute that this liteft does not know: {name}")
        wanted, field = _KINDS[known.kind]
        kind = 0
        values: list[int | Span] = []
        for number, value in self._read.fields(span):
            if number == 20:
                kind = self._read.number(value)
            elif number == field:
                values.append(value)
            elif number not in (1, 13):
                self._refuse(f"has an attribute {name} of a type that this liteft does not know")
        if kind != wanted or len(values) > 1:
            self._refuse(f"has an attribute {name} of a type that this liteft does not know")
        if wanted == _STRING:
            text = self._read.text(values[0]) if values else ""
            if known.words and text not in known.words:
                self._refuse(f"has {name} {text!r}, and this liteft knows {', '.join(known.words)}")
            return name, text
        stored = self._read.number(values[0]) if values else 0
        if wanted == _INT:
            if not known.least <= stored <= _MOST:
                self._refuse(f"has {name} = {stored}")
            return name, stored
        epsilon: float = struct.unpack("<f", struct.pack("<I", stored))[0]
        if not (math.isfinite(epsilon) and epsilon > 0):
            self._refuse(f"has {name} = {epsilon}")
        return name, epsilon

    def _weight(self, name: str, span: Span) -> np.ndarray:
        """Return a two-dimensional view of a tensor."""
        dims: list[int] = []
        kind = 0
        raw: list[Span] = []
        for number, value in self._read.fields(span):
            if number == 1:
                dims += self._read.integers(value)
            elif number == 2:
                kind = self._read.number(value)
            elif number == 9:
                raw.append(self._read.span(value))
            elif number == 13 or (number == 14 and value != 0):
                self._refuse(f"keeps the weight {name} in another file")
            elif number not in (8, 12, 14, 16):
                self._refuse(f"stores the weight {name} in a way that this liteft cannot read")
        if kind not in _TYPES or len(raw) != 1:
            self._refuse(f"stores the weight {name} in a way that this liteft cannot read")
        if len(dims) not in (1, 2) or not all(1 <= size <= _MOST for size in dims):
            self._refuse(f"has a weight {name} of shape {tuple(dims)}")
        (start, stop), dtype = raw[0], _TYPES[kind]
        if math.prod(dims) * dtype.itemsize != stop - start:
            raise Malformed(f"the weight {name} has {stop - start} bytes, and its shape is {tuple(dims)}")
        flat = np.frombuffer(self._mapped, dtype, count=math.prod(dims), offset=start)
        return flat.reshape(dims if len(dims) == 2 else (1, -1))

    def _check_weights(self, stored: StoredClassifier) -> None:
        """Refuse missing weights, and weights that would not be read."""
        spec, weights, kept = stored.spec, stored.weights, stored.float_products
        if spec.layers > len(weights):
            self._refuse(f"has {spec.layers} layers and {len(weights)} weights")
        int8 = stored.int8_scheme != "none"

        def is_int8(slot: Slot) -> bool:
            held = weights.get(f"{slot.name}.weight")
            return int8 and (slot.name not in kept or (held is not None and held.dtype == np.int8))

        wanted = stored_shapes(spec, is_int8)
        if unlike := sorted(wanted.keys() ^ weights.keys()):
            self._refuse(f"has weights that do not match its attributes: {', '.join(unlike[:3])}")
        if self._labels not in (None, spec.labels):
            self._refuse(f"declares {self._labels} logits, but has weights for {spec.labels}")
        products = {slot.name for slot in layout(spec) if int8 and slot.quantizable and slot.kind == "linear"}
        if strange := sorted(kept - products):
            self._refuse(f"lists float products that are not among its int8 products: {', '.join(strange[:3])}")
        matrices = {name for name in wanted if name.removesuffix("weight") + "scale" in wanted}
        for name, array in stored.weights.items():
            packed = array.dtype == np.uint8 and name == _WORDS_TABLE
            rows, columns = array.shape
            if (rows, columns * (2 if packed else 1)) != wanted[name]:
                self._refuse(f"has a weight {name} of shape ({rows}, {columns}), which does not fit its other weights")
            if (array.dtype == np.int8 or packed) != (name in matrices) or (array.dtype == np.uint8 and not packed):
                self._refuse(f"has a weight {name} of type {array.dtype}")
            if has_endless_value(array):
                raise ArtifactError(
                    f"{self._path} is damaged: the weight {name} is not finite everywhere.",
                    fix="export the model again",
                )

    def _refuse(self, what: str) -> NoReturn:
        raise ArtifactError(f"{self._path} {what}.", fix=[option("backend", "onnxruntime"), "export the model again"])
