"""Reading model.onnx without onnx and onnxruntime: one node, its attributes, its weights.

An exported classifier's graph is a single node, ``liteft.EncoderClassifier``, whose inputs are the token ids and the
weights. That is all the native engine needs, so this reads those parts and nothing else; the node's definition in
standard operators, for others, is skipped. Weights are views into the mapped file: they cost no memory until they are
read.

Whatever is not exactly as expected is refused with a reason: another graph, a later version of the node, an attribute
or a weight that is unknown here and might change what is computed. It is better not to run than to run another model.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from liteft.errors import ArtifactError, option
from liteft.runtime.onnx_file import StoredValue, has_endless_value, map_file, read_value
from liteft.runtime.protobuf import Malformed, Message, Span

__all__ = ["StoredClassifier", "read_classifier"]

DOMAIN, KIND, VERSION = "liteft", "EncoderClassifier", 1
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
_WORDS = {
    "activation": ("gelu", "gelu_tanh", "relu", "silu"),
    "pooling": ("cls", "mean"),
    "head": ("none", "tanh", "relu", "gelu"),
    "int8_scheme": ("none", "per_row", "static"),
}
_NUMBERS = ("layers", "heads", "position_padding_id")
_ATTRIBUTES = {"inputs", "epsilon", *_NUMBERS, *_WORDS}
_OPTIONAL = {"float_products"}
_WORDS_TABLE = "embeddings.word.weight"
_FLOAT, _INT, _STRING = 1, 2, 3  # AttributeProto.AttributeType
_VALUE_FIELDS = {_FLOAT: 2, _INT: 3, _STRING: 4}
_TYPES: dict[int, np.dtype[Any]] = {  # TensorProto.DataType
    1: np.dtype("<f4"),
    2: np.dtype("|u1"),  # two values of 4 bits each
    3: np.dtype("|i1"),
    10: np.dtype("<f2"),
}
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class StoredClassifier:
    """A classifier as the file holds it.

    Attributes:
        inputs: names of the token inputs, in order.
        layers, heads, epsilon, activation, pooling, head, position_padding_id, int8_scheme: the node's attributes.
        float_products: linear layers of an int8 classifier whose products are in float, by name; their weights are
            float32, or int8 with scales all the same.
        weights: name -> view into the file, float32, float16 or int8, shape (rows, columns); a vector is one row.
            Perhaps not aligned. The table of words may be uint8, shape (rows, columns / 2): two values of 4 bits in a
            byte.
    """

    inputs: tuple[str, ...]
    layers: int
    heads: int
    epsilon: float
    activation: str
    pooling: str
    head: str
    position_padding_id: int
    int8_scheme: str
    weights: dict[str, np.ndarray]
    float_products: frozenset[str] = frozenset()

    @property
    def embedding(self) -> int:
        """Width of the embeddings."""
        words = self.weights[_WORDS_TABLE]
        return int(words.shape[1]) * (2 if words.dtype == np.uint8 else 1)

    @property
    def labels(self) -> int:
        """Number of labels."""
        return int(self.weights["classifier.weight"].shape[1])


def read_classifier(path: Path) -> StoredClassifier:
    """Return the classifier in an ONNX file.

    Raises:
        ArtifactError: the file cannot be read, or holds something else; the message says what.
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
        self._labels: int | None = None  # as the graph's output says

    def classifier(self) -> StoredClassifier:
        graph, version = self._model()
        nodes, tensors, inputs, outputs = self._graph(graph)
        found, results, attributes = self._node(nodes[0])
        if version != VERSION:
            self._refuse(f"contains version {version} of {DOMAIN}.{KIND}, and this liteft knows version {VERSION}")
        if results != outputs or outputs != ["logits"]:
            self._refuse(f"gives {', '.join(outputs)}, not logits")
        if attributes["inputs"] != " ".join(found) or inputs != list(TOKENS[: len(inputs)]) or len(inputs) < 2:
            self._refuse("names its node's inputs differently from the node")
        if found[: len(inputs)] != inputs:
            self._refuse("feeds its node something other than token ids, mask and weights")
        del attributes["inputs"]
        names = found[len(inputs) :]
        weights = {name: self._weight(name, tensors[name]) for name in names if name in tensors}
        if len(weights) != len(names):
            self._refuse("has a duplicate weight, or one that is missing")
        kept = frozenset(str(attributes.pop("float_products", "")).split())
        stored = StoredClassifier(
            tuple(inputs),
            weights=weights,
            float_products=kept,
            **attributes,  # type: ignore[arg-type]
        )
        self._check_weights(stored)
        return stored

    def _model(self) -> tuple[Span, int]:
        """Return where the graph lies, and the version of the node's domain."""
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
        """Return the one node, the tensors by name, and the names of inputs and outputs."""
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
                self._check_value(found, kind=7 if number == 11 else 1)
                (inputs if number == 11 else outputs).append(found.name)
            elif number == 15:
                self._refuse("has sparse weights")
        if len(nodes) != 1:
            self._refuse(f"is a graph of {len(nodes):,} nodes, not the one node {DOMAIN}.{KIND}")
        by_name = {self._read.one_text(tensor, 8): tensor for tensor in tensors}
        if len(by_name) != len(tensors):
            raise Malformed("two weights of one name")
        return nodes, by_name, inputs, outputs

    def _check_value(self, value: StoredValue, *, kind: int) -> None:
        """Refuse inputs that are no rectangle of int64, and logits that are none of float32."""
        shape = value.shape
        if value.kind != kind or shape is None or len(shape) != 2 or shape[0] is not None:
            self._refuse(f"has {value.name[:80]} of a type or shape that this liteft does not know")
        if kind == 1:
            self._labels = shape[1]

    def _node(self, span: Span) -> tuple[list[str], list[str], dict[str, str | int | float]]:
        """Return inputs, outputs and attributes of the node."""
        inputs: list[str] = []
        outputs: list[str] = []
        named = {4: "", 7: "", 8: ""}  # op_type, domain, overload
        attributes: dict[str, str | int | float] = {}
        spans = []
        for number, value in self._read.fields(span):
            if number in (1, 2):
                (inputs if number == 1 else outputs).append(self._read.text(value))
            elif number == 5:
                spans.append(self._read.span(value))
            elif number in named:
                named[number] = self._read.text(value)
        if tuple(named.values()) != (KIND, DOMAIN, ""):
            self._refuse(f"contains the node {named[7]}.{named[4]}, not {DOMAIN}.{KIND}")
        for each in spans:
            name, found = self._attribute(each)
            if name in attributes:
                raise Malformed(f"attribute {name} twice")
            attributes[name] = found
        if set(attributes) - _OPTIONAL != _ATTRIBUTES:
            unlike = ", ".join(sorted((set(attributes) - _OPTIONAL) ^ _ATTRIBUTES))
            self._refuse(f"has attributes that this liteft does not know, or lacks some: {unlike}")
        for name, known in _WORDS.items():
            if attributes[name] not in known:
                self._refuse(f"has {name} {attributes[name]!r}, and this liteft knows {', '.join(known)}")
        return inputs, outputs, attributes

    def _attribute(self, span: Span) -> tuple[str, str | int | float]:
        name = self._read.one_text(span, 1)
        wanted = _INT if name in _NUMBERS else _FLOAT if name == "epsilon" else _STRING
        kind = 0
        values: list[int | Span] = []
        for number, value in self._read.fields(span):
            if number == 20:
                kind = self._read.number(value)
            elif number == _VALUE_FIELDS[wanted]:
                values.append(value)
            elif number not in (1, 13):
                self._refuse(f"has an attribute {name} of a type that this liteft does not know")
        if name not in _ATTRIBUTES | _OPTIONAL:
            self._refuse(f"has an attribute that this liteft does not know: {name}")
        if kind != wanted or len(values) > 1:
            self._refuse(f"has an attribute {name} of a type that this liteft does not know")
        if wanted == _STRING:
            return name, self._read.text(values[0]) if values else ""
        stored = self._read.number(values[0]) if values else 0
        if wanted == _INT:
            if not (-1 if name == "position_padding_id" else 1) <= stored <= _MOST:
                self._refuse(f"has {name} = {stored}")
            return name, stored
        epsilon: float = struct.unpack("<f", struct.pack("<I", stored))[0]
        if not (math.isfinite(epsilon) and epsilon > 0):
            self._refuse(f"has epsilon = {epsilon}")
        return name, epsilon

    def _weight(self, name: str, span: Span) -> np.ndarray:
        """Return a view of a tensor, two-dimensional."""
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
        """Refuse weights that are missing, and those that nothing here would read."""
        if stored.layers > len(stored.weights):
            self._refuse(f"has {stored.layers} layers and {len(stored.weights)} weights")
        wanted = set(_weight_names(stored))
        if unlike := sorted(wanted ^ set(stored.weights)):
            self._refuse(f"has weights that do not match its attributes: {', '.join(unlike[:3])}")
        if self._labels not in (None, stored.labels):
            self._refuse(f"declares {self._labels} logits, but has weights for {stored.labels}")
        width = stored.weights["layers.0.attention.output.weight"].shape[1]
        if ("embeddings.project.weight" in wanted) != (stored.embedding != width):
            self._refuse(f"has embeddings of width {stored.embedding} for layers of {width}, unlike its weights")
        if strange := sorted(name for name in stored.float_products if not _may_be_float(stored, name)):
            self._refuse(f"lists float products that are not among its int8 products: {', '.join(strange[:3])}")
        matrices = {name for name in wanted if name.removesuffix("weight") + "scale" in wanted}
        for name, array in stored.weights.items():
            packed = array.dtype == np.uint8 and name == _WORDS_TABLE
            if (array.dtype == np.int8 or packed) != (name in matrices) or (array.dtype == np.uint8 and not packed):
                self._refuse(f"has a weight {name} of type {array.dtype}")
            if has_endless_value(array):
                raise ArtifactError(
                    f"{self._path} is damaged: the weight {name} is not finite everywhere.",
                    fix="export the model again",
                )

    def _refuse(self, what: str) -> NoReturn:
        raise ArtifactError(f"{self._path} {what}.", fix=[option("backend", "onnxruntime"), "export the model again"])


def _may_be_float(stored: StoredClassifier, name: str) -> bool:
    """Say whether an int8 classifier has a product of this name that could have been int8."""
    inside = name.startswith("layers.") or name == "embeddings.project"
    return stored.int8_scheme != "none" and inside and not name.endswith(".norm") and f"{name}.bias" in stored.weights


def _weight_names(stored: StoredClassifier) -> Iterator[str]:
    """Yield the names of the weights that a classifier of these attributes has."""
    quantized = stored.int8_scheme != "none"

    def linear(name: str, *, coarse: bool = quantized) -> Iterator[str]:
        matrix = stored.weights.get(f"{name}.weight")
        if name in stored.float_products and matrix is not None:
            coarse = matrix.dtype == np.int8
        yield from (f"{name}.weight", f"{name}.bias", *([f"{name}.scale"] if coarse else []))

    def norm(name: str) -> Iterator[str]:
        yield from (f"{name}.weight", f"{name}.bias")

    for table in ("word", "position", *(["type"] if len(stored.inputs) == 3 else [])):
        yield from (f"embeddings.{table}.weight", *([f"embeddings.{table}.scale"] if quantized else []))
    yield from norm("embeddings.norm")
    if "embeddings.project.weight" in stored.weights:
        yield from linear("embeddings.project")
    for layer in range(stored.layers):
        name = f"layers.{layer}"
        cut = stored.pooling == "cls" and layer == stored.layers - 1
        for part in ("query", "key_value") if cut else ("query_key_value",):
            yield from linear(f"{name}.attention.{part}")
        yield from linear(f"{name}.attention.output")
        yield from norm(f"{name}.attention.norm")
        yield from linear(f"{name}.feed_forward.inner")
        yield from linear(f"{name}.feed_forward.outer")
        yield from norm(f"{name}.feed_forward.norm")
    if stored.head != "none":
        yield from linear("head.dense", coarse=False)
    yield from linear("classifier", coarse=False)
