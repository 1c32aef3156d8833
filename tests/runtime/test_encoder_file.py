"""Reading model.onnx without onnx: what it finds, what it refuses, and that nothing else comes out."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from liteft.artifact import Artifact
from liteft.errors import ArtifactError
from liteft.runtime.encoder_file import read_classifier
from liteft.runtime.protobuf import Malformed, fields, integers

WIDTH, INNER, WORDS, LABELS = 4, 6, 5, 2


PRODUCTS = (
    "layers.0.attention.query_key_value",
    "layers.0.attention.output",
    "layers.0.feed_forward.inner",
    "layers.0.feed_forward.outer",
)


def weights() -> dict[str, np.ndarray]:
    """Return a classifier's weights: one layer, mean pooling, float32."""
    generator = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word.weight": (WORDS, WIDTH),
        "embeddings.position.weight": (7, WIDTH),
        "embeddings.norm.weight": (WIDTH,),
        "embeddings.norm.bias": (WIDTH,),
    }
    for name, inputs, outputs in (
        ("layers.0.attention.query_key_value", WIDTH, 3 * WIDTH),
        ("layers.0.attention.output", WIDTH, WIDTH),
        ("layers.0.feed_forward.inner", WIDTH, INNER),
        ("layers.0.feed_forward.outer", INNER, WIDTH),
        ("classifier", WIDTH, LABELS),
    ):
        shapes |= {f"{name}.weight": (inputs, outputs), f"{name}.bias": (outputs,)}
    for name in ("layers.0.attention.norm", "layers.0.feed_forward.norm"):
        shapes |= {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def make(change: Callable[[Any], None] = lambda model: None) -> Any:
    """Return a model of one node, without its definition, after a change."""
    arrays = weights()
    tokens = ["input_ids", "attention_mask"]
    names = [*tokens, *arrays]
    node = helper.make_node("EncoderClassifier", names, ["logits"], domain="liteft")
    attributes = {"inputs": " ".join(names), "layers": 1, "heads": 2, "epsilon": 1e-12, "activation": "gelu"}
    attributes |= {"pooling": "mean", "head": "none", "position_padding_id": -1, "int8_scheme": "none"}
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    graph = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in tokens],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", LABELS])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("liteft", 1)], ir_version=9
    )
    change(model)
    return model


def attribute(model: Any, name: str) -> Any:
    return next(each for each in model.graph.node[0].attribute if each.name == name)


def tensor(model: Any, name: str) -> Any:
    return next(each for each in model.graph.initializer if each.name == name)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        (tmp_path / "model.onnx").write_bytes(content)
        return tmp_path / "model.onnx"

    return write


def test_attributes_and_weights_are_those_of_the_file(write: Callable[[bytes], Path]) -> None:
    found = read_classifier(write(make().SerializeToString()))
    assert (found.spec.layers, found.spec.heads, found.spec.activation, found.spec.pooling) == (1, 2, "gelu", "mean")
    assert (found.spec.head, found.spec.position_padding_id, found.int8_scheme) == ("none", -1, "none")
    assert found.spec.epsilon == np.float32(1e-12)
    assert found.inputs == ("input_ids", "attention_mask") and found.spec.labels == LABELS
    assert list(found.weights) == list(weights())
    for name, array in weights().items():
        np.testing.assert_array_equal(found.weights[name], np.atleast_2d(array))


@pytest.mark.parametrize("scheme", ["per_row", "static"])
@pytest.mark.parametrize("whole", ["", "layers.0.attention.output"])
def test_float_products_are_read_with_weights_of_either_kind(
    scheme: str, whole: str, write: Callable[[bytes], Path]
) -> None:
    name = "layers.0.attention.output"
    found = read_classifier(write(make(_float_products(name, scheme, whole)).SerializeToString()))
    assert (found.int8_scheme, found.float_products) == (scheme, {name})
    assert found.weights[f"{name}.weight"].dtype == (np.float32 if whole else np.int8)
    assert found.weights["layers.0.feed_forward.outer.weight"].dtype == np.int8


def test_weights_are_views_of_the_mapped_file(write: Callable[[bytes], Path]) -> None:
    found = read_classifier(write(make().SerializeToString()))
    for array in found.weights.values():
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
        assert not array.flags.writeable


@pytest.mark.parametrize("family", ["bert", "roberta", "electra-projected"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_exported_file_reads_as_onnx_reads_it(
    exported: Callable[..., Artifact], family: str, precision: str
) -> None:
    path = exported(family, "cls", precision).model_path
    found, model = read_classifier(path), onnx.load(path)
    wanted = {each.name: np.atleast_2d(numpy_helper.to_array(each)) for each in model.graph.initializer}
    assert found.weights.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found.weights[name].dtype == array.dtype
        np.testing.assert_array_equal(found.weights[name], array)
    for each in model.graph.node[0].attribute:
        value = helper.get_attribute_value(each)
        if each.name != "inputs":
            place = found if each.name == "int8_scheme" else found.spec
            assert getattr(place, each.name) == (value.decode() if isinstance(value, bytes) else value)


def _second_node(model: Any) -> None:
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["again"]))


def _other_version(model: Any) -> None:
    model.opset_import[1].version = 2


def _external(model: Any) -> None:
    tensor(model, "classifier.bias").data_location = TensorProto.EXTERNAL


def _doubled(model: Any) -> None:
    tensor(model, "classifier.bias").CopyFrom(numpy_helper.from_array(np.zeros(LABELS), "classifier.bias"))


def _typed_data(model: Any) -> None:
    values = tensor(model, "classifier.bias")
    values.ClearField("raw_data")
    values.float_data.extend([0.0] * LABELS)


def _short(model: Any) -> None:
    tensor(model, "classifier.bias").raw_data = b"1234"


def _huge(model: Any) -> None:
    del tensor(model, "classifier.bias").dims[:]
    tensor(model, "classifier.bias").dims.extend([0, 2**40])
    tensor(model, "classifier.bias").raw_data = b""


def _half_bias_of_int8(model: Any) -> None:
    attribute(model, "int8_scheme").s = b"per_row"


def _float_products(names: str, scheme: str = "per_row", whole: str = "") -> Callable[[Any], None]:
    """Return a change to an int8 model that names float products, in which the product ``whole`` has float weights."""

    def change(model: Any) -> None:
        for name in ("embeddings.word", "embeddings.position", *PRODUCTS):
            if name == whole:
                continue
            weight = tensor(model, f"{name}.weight")
            rows, columns = weight.dims
            coarse = np.ones((rows, columns), np.int8)
            weight.CopyFrom(numpy_helper.from_array(coarse, weight.name))
            shape = (rows, 1) if name.startswith("embeddings") else (columns,)
            model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), f"{name}.scale"))
            model.graph.node[0].input.append(f"{name}.scale")
        attribute(model, "inputs").s = " ".join(model.graph.node[0].input).encode()
        attribute(model, "int8_scheme").s = scheme.encode()
        model.graph.node[0].attribute.append(helper.make_attribute("float_products", names))

    return change


def _idle_projection(model: Any) -> None:
    """Add a projection to embeddings that are as wide as the layers: an engine would leave it out."""
    for name, shape in (("weight", (WIDTH, WIDTH)), ("bias", (WIDTH,))):
        full = f"embeddings.project.{name}"
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), full))
        model.graph.node[0].input.append(full)
    attribute(model, "inputs").s = " ".join(model.graph.node[0].input).encode()


def _narrow_embeddings(model: Any) -> None:
    tensor(model, "embeddings.word.weight").CopyFrom(
        numpy_helper.from_array(np.ones((WORDS, 2), np.float32), "embeddings.word.weight")
    )


def _per_token(logits: Any) -> None:
    """Declare three axes."""
    axes = logits.type.tensor_type.shape.dim
    axes.insert(1, type(axes[0])(dim_param="tokens"))


def _of_tokens(change: Callable[[Any], None] = lambda logits: None, **values: bytes) -> Callable[[Any], None]:
    """Return a change that renames the node, changes the output's declaration, and then the values of attributes."""

    def apply(model: Any) -> None:
        model.graph.node[0].op_type = "EncoderTokenClassifier"
        change(model.graph.output[0])
        for name, value in values.items():
            attribute(model, name).s = value

    return apply


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "more nodes": (_second_node, "graph of 2 nodes"),
    "no node": (lambda model: model.graph.ClearField("node"), "graph of 0 nodes"),
    "another node": (lambda model: setattr(model.graph.node[0], "op_type", "Other"), "node liteft.Other"),
    "another domain": (lambda model: setattr(model.graph.node[0], "domain", "com.other"), "node com.other.Enc"),
    "an overload": (lambda model: setattr(model.graph.node[0], "overload", "b"), "not liteft.Enc"),
    "a later version": (_other_version, "version 2"),
    "no version": (lambda model: model.opset_import.pop(), "version 0"),
    "an unknown attribute": (
        lambda model: model.graph.node[0].attribute.append(helper.make_attribute("window", 3)),
        "window",
    ),
    "a missing attribute": (lambda model: model.graph.node[0].attribute.pop(1), "lacks the attribute layers"),
    "an attribute of another kind": (lambda model: attribute(model, "layers").CopyFrom(
        helper.make_attribute("layers", 1.0)), "attribute layers of a type"),
    "an attribute by reference": (
        lambda model: setattr(attribute(model, "layers"), "ref_attr_name", "n"), "of a type"),
    "an unknown activation": (lambda model: setattr(attribute(model, "activation"), "s", b"mish"), "'mish'"),
    "an unknown int8 scheme": (lambda model: setattr(attribute(model, "int8_scheme"), "s", b"tensor"), "'tensor'"),
    "int8 without scales": (_half_bias_of_int8, "weights that do not match its attributes"),
    "float products without int8": (
        lambda model: model.graph.node[0].attribute.append(
            helper.make_attribute("float_products", "layers.0.attention.output")), "not among its int8 products"),
    "a float product that is none": (_float_products("layers.0.attention.norm"), "among its int8 products: layers.0"),
    "a float product that is a table": (_float_products("embeddings.word"), "among its int8 products: embeddings.w"),
    "a float product in the head": (_float_products("classifier"), "not among its int8 products: classifier"),
    "a float product of no layer": (_float_products("layers.1.attention.output"), "int8 products: layers.1"),
    "float weights without a word": (
        _float_products("layers.0.feed_forward.inner", whole="layers.0.attention.output"), "weights that do not match"),
    "float products as a number": (
        lambda model: model.graph.node[0].attribute.append(helper.make_attribute("float_products", 3)),
        "float_products of a type"),
    "no layers": (lambda model: setattr(attribute(model, "layers"), "i", 0), "layers = 0"),
    "no heads": (lambda model: setattr(attribute(model, "heads"), "i", 0), "heads = 0"),
    "more layers": (lambda model: setattr(attribute(model, "layers"), "i", 2), "do not match"),
    "very many layers": (lambda model: setattr(attribute(model, "layers"), "i", 2**31 - 1), "layers and"),
    "a number out of range": (lambda model: setattr(attribute(model, "heads"), "i", 2**40), "heads ="),
    "no epsilon": (lambda model: setattr(attribute(model, "epsilon"), "f", 0.0), "epsilon"),
    "an epsilon that is none": (lambda model: setattr(attribute(model, "epsilon"), "f", float("nan")), "epsilon"),
    "weights elsewhere": (_external, "in another file"),
    "weights in double": (_doubled, "in a way that this liteft cannot read"),
    "weights as numbers": (_typed_data, "in a way that this liteft cannot read"),
    "weights too short": (_short, "has 4 bytes"),
    "weights of no size": (_huge, "of shape"),
    "a weight too few": (lambda model: model.graph.initializer.pop(), "one that is missing"),
    "a projection without use": (_idle_projection, "match its attributes: embeddings.project.bias"),
    "embeddings that need a projection": (_narrow_embeddings, "match its attributes: embeddings.project.bias"),
    "a name that does not fit": (_of_tokens(), "the node liteft.EncoderTokenClassifier with pooling mean"),
    "a pooling that does not fit": (lambda model: setattr(attribute(model, "pooling"), "s", b"none"), "pooling none"),
    "logits of tokens": (lambda model: _per_token(model.graph.output[0]), "declares logits of 3 axes"),
    "logits of texts": (_of_tokens(pooling=b"none"), "declares logits of 2 axes"),
    "a head without pooling": (_of_tokens(_per_token, pooling=b"none", head=b"tanh"), "the head tanh without pooling"),
    "other names": (lambda model: setattr(attribute(model, "inputs"), "s", b"a b"), "names its node's inputs"),
    "another output": (lambda model: setattr(model.graph.output[0], "name", "scores"), "scores"),
    "no inputs": (lambda model: model.graph.ClearField("input"), "names its node's inputs"),
}  # fmt: skip


def test_a_classifier_of_tokens_is_read(write: Callable[[bytes], Path]) -> None:
    found = read_classifier(write(make(_of_tokens(_per_token, pooling=b"none")).SerializeToString()))
    assert found.spec.per_token and (found.spec.pooling, found.spec.head, found.spec.labels) == ("none", "none", LABELS)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused_with_a_reason(write: Callable[[bytes], Path], name: str) -> None:
    change, part = REFUSED[name]
    with pytest.raises(ArtifactError) as caught:
        read_classifier(write(make(change).SerializeToString()))
    assert part in caught.value.message


def test_a_flat_graph_is_refused(exported: Callable[..., Artifact]) -> None:
    with pytest.raises(ArtifactError, match=r"is a graph of [\d,]+ nodes, not the one node liteft.EncoderClassifier"):
        read_classifier(exported(flat=True).model_path)


def test_no_file_and_an_empty_one_are_refused(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_classifier(tmp_path / "none.onnx")
    with pytest.raises(ArtifactError, match="it is empty"):
        read_classifier(write(b""))


def test_of_a_cut_file_nothing_but_an_artifact_error_comes_out(write: Callable[[bytes], Path]) -> None:
    whole = make().SerializeToString()
    for length in [*range(1, 200), *range(200, len(whole) - 40, 23)]:
        with pytest.raises(ArtifactError):
            read_classifier(write(whole[:length]))


def test_of_flipped_bits_nothing_but_an_artifact_error_comes_out(write: Callable[[bytes], Path]) -> None:
    whole = make().SerializeToString()
    generator = np.random.default_rng(5)
    refused = 0
    for _ in range(800):
        content = bytearray(whole)
        for place in generator.integers(0, len(content), generator.integers(1, 6)):
            content[place] ^= 1 << int(generator.integers(0, 8))
        try:
            found = read_classifier(write(bytes(content)))
        except ArtifactError:
            refused += 1
        else:  # a bit of a weight, or of what nobody reads
            assert sum(array.nbytes for array in found.weights.values()) <= len(content)
    assert refused > 150


def test_random_bytes_are_refused(write: Callable[[bytes], Path]) -> None:
    generator = np.random.default_rng(6)
    for length in range(1, 300):
        with pytest.raises(ArtifactError):
            read_classifier(write(generator.bytes(length)))


def test_fields_are_read_by_number_and_kind() -> None:
    message = memoryview(bytes([0x08, 0x96, 0x01, 0x12, 2, 7, 8, 0x1D, 1, 0, 0, 0, 0x21, *[0] * 7, 1]))
    assert list(fields(message, (0, len(message)))) == [(1, 150), (2, (5, 7)), (3, 1), (4, 1 << 56)]
    assert integers(message, (5, 7)) == [7, 8] and integers(message, (1 << 64) - 1) == [-1]


@pytest.mark.parametrize(
    "content", [b"\x08", b"\x08" + b"\xff" * 11, b"\x12\x05ab", b"\x0b", b"\x00\x01", b"\x1d\x01", b"\x0f\x01"]
)
def test_what_is_no_message_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        list(fields(memoryview(content), (0, len(content))))
