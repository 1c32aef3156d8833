"""What the operator for ONNX Runtime refuses, it refuses in words: nothing crashes, nothing is computed wrongly."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch", reason="models to export need the extra 'train'")
pytest.importorskip("onnxruntime", reason="the operator is ONNX Runtime's")

import onnxruntime

from tests.exporting.conftest import POSITIONS, WORDS, Workshop
from tests.native.sessions import Feed, exported, open_session, read_counters, run, set_attribute

MakeBatch = Callable[..., Feed]
WEIGHT = "layers.1.feed_forward.outer.weight"
DEFAULTS = {
    "epsilon": 1e-12,
    "activation": "gelu",
    "pooling": "cls",
    "head": "tanh",
    "position_padding_id": -1,
    "int8_scheme": "none",
    "float_products": "",
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(workshop: Workshop) -> onnx.ModelProto:
    return exported(workshop.loaded("bert", paired=True))


@pytest.fixture
def changed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model that the test may spoil."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def remove_attributes(model: onnx.ModelProto, names: set[str]) -> None:
    attributes = model.graph.node[0].attribute
    kept = [attribute for attribute in attributes if attribute.name not in names]
    del attributes[:]
    attributes.extend(kept)


def initializer(model: onnx.ModelProto, name: str = WEIGHT) -> onnx.TensorProto:
    (found,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    return found


def store(model: onnx.ModelProto, array: np.ndarray) -> None:
    initializer(model).CopyFrom(numpy_helper.from_array(array, WEIGHT))


def rename_inputs(model: onnx.ModelProto, names: list[str]) -> None:
    """Give the node other inputs, and say so in its attribute."""
    del model.graph.node[0].input[:]
    model.graph.node[0].input.extend(names)
    set_attribute(model, "inputs", " ".join(names))


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("attention_mask", (2, slice(None)), 0, "liteft: row 2 has no token"),
        ("input_ids", (1, 3), WORDS, f"liteft: id {WORDS} in row 1, column 3 is not below {WORDS}"),
        ("input_ids", (1, 3), -1, f"liteft: id -1 in row 1, column 3 is not below {WORDS}"),
        ("input_ids", (1, 3), 2**40, f"liteft: id {2**40} in row 1, column 3 is not below {WORDS}"),
        ("token_type_ids", (0, 4), 2, "liteft: type id 2 in row 0, column 4 is not below 2"),
    ],
)
def test_values_out_of_range_are_named(
    name: str, place: Any, value: int, words: str, model: onnx.ModelProto, batch: MakeBatch, file: Path
) -> None:
    session, feed = open_session(model, file), batch("full", 4, 6, pad=0)
    expected = run(session, feed)
    spoilt = feed | {name: feed[name].copy()}
    spoilt[name][place] = value
    with pytest.raises(Exception, match=words):
        run(session, spoilt)
    np.testing.assert_array_equal(run(session, feed), expected)


@pytest.mark.parametrize("name", ["attention_mask", "token_type_ids"])
def test_another_shape_than_that_of_the_ids_is_an_error(
    name: str, model: onnx.ModelProto, batch: MakeBatch, file: Path
) -> None:
    feed = batch("full", 4, 6, pad=0)
    feed[name] = feed[name][:, :5]
    with pytest.raises(Exception, match=rf"{name} has shape \(4, 5\), and input_ids has \(4, 6\)"):
        run(open_session(model, file), feed)


@pytest.mark.parametrize("tokens", [0, POSITIONS + 1])
def test_rows_without_columns_or_with_too_many_are_errors(
    tokens: int, model: onnx.ModelProto, batch: MakeBatch, file: Path
) -> None:
    feed = {name: np.ones((2, tokens), dtype=np.int64) for name in batch("full", 1, 1, pad=0)}
    with pytest.raises(Exception, match=r"liteft: (row 0 has no token|position 70 )"):
        run(open_session(model, file), feed)


def test_int32_ids_are_an_error(changed: onnx.ModelProto, model: onnx.ModelProto, batch: MakeBatch, file: Path) -> None:
    feed = {name: array.astype(np.int32) for name, array in batch("full", 2, 6, pad=0).items()}
    with pytest.raises(Exception, match="int32"):
        run(open_session(model, file), feed)
    for value in changed.graph.input:
        value.type.tensor_type.elem_type = TensorProto.INT32
    with pytest.raises(Exception, match=r"int32.*input_ids.*EncoderClassifier"):
        open_session(changed, file)


@pytest.mark.parametrize("kept", [True, False])
def test_a_weight_that_is_not_constant_is_an_error(kept: bool, changed: onnx.ModelProto, file: Path) -> None:
    weight = initializer(changed)
    changed.graph.input.append(helper.make_tensor_value_info(WEIGHT, weight.data_type, weight.dims))
    if not kept:
        changed.graph.initializer.remove(weight)
    with pytest.raises(Exception, match=f"liteft: the weight '{WEIGHT}' is not constant"):
        open_session(changed, file)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("layers", 4, "the weight 'layers.2.attention.query_key_value.* is missing"),
        ("layers", 0, "layers = 0 is not between"),
        ("layers", "3", "the attribute 'layers'"),
        ("heads", 5, "width 64 must be a multiple of heads 5"),
        ("position_padding_id", 2**40, "'position_padding_id' = 1099511627776 is out of range"),
        ("position_padding_id", -2, "position_padding_id = -2 is not between"),
        ("counted_from", 1, "the attribute 'counted_from' is of a development version"),
        ("epsilon", float("nan"), "epsilon must be positive"),
        ("activation", "mish", "'activation' is 'mish', and this library knows gelu, relu, gelu_tanh, silu"),
        ("pooling", "max", "'pooling' is 'max', and this library knows cls, mean"),
        ("head", "", "'head' is '', and this library knows none, tanh, relu, gelu"),
        ("int8_scheme", "mixed", "'int8_scheme' is 'mixed', and this library knows none, per_row, static"),
        ("int8_scheme", "per_row", "is not int8"),
        ("int8_scheme", "static", "is not int8"),
        ("float_products", "layers.7.attention.output", "the weight 'layers.7.attention.output.weight' is missing"),
        ("float_products", 3, "the attribute 'float_products'"),
        ("inputs", "input_ids attention_mask", "names 2 inputs, and the node has"),
        ("inputs", 3, "the attribute 'inputs'"),
    ],
)
def test_an_attribute_that_does_not_fit_is_an_error(
    name: str, value: Any, words: str, changed: onnx.ModelProto, file: Path
) -> None:
    set_attribute(changed, name, value)
    with pytest.raises(Exception, match=f"liteft: .*{words}"):
        open_session(changed, file)


@pytest.mark.parametrize("name", ["inputs", "layers", "heads"])
def test_a_missing_attribute_is_named(name: str, changed: onnx.ModelProto, file: Path) -> None:
    remove_attributes(changed, {name})
    with pytest.raises(Exception, match=f"liteft: the attribute '{name}'"):
        open_session(changed, file)


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_an_attribute_of_another_type_is_refused_by_name_though_it_has_a_default(
    name: str, changed: onnx.ModelProto, file: Path
) -> None:
    set_attribute(changed, name, [1, 2])
    with pytest.raises(Exception, match=f"liteft: the attribute '{name}'"):
        open_session(changed, file)


def test_attributes_that_are_left_out_have_their_defaults(
    changed: onnx.ModelProto, batch: MakeBatch, file: Path
) -> None:
    for name, value in DEFAULTS.items():
        set_attribute(changed, name, value)
    feed = batch("full", 4, 6, pad=0)
    expected = run(open_session(changed, file), feed)
    remove_attributes(changed, set(DEFAULTS))
    np.testing.assert_array_equal(run(open_session(changed, file), feed), expected)


def test_an_unknown_weight_is_refused(changed: onnx.ModelProto, file: Path) -> None:
    changed.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "layers.1.gate.weight"))
    rename_inputs(changed, [*changed.graph.node[0].input, "layers.1.gate.weight"])
    with pytest.raises(Exception, match=r"liteft: the weight 'layers\.1\.gate\.weight' is not one of a model"):
        open_session(changed, file)


def test_a_file_that_states_a_later_version_still_reaches_the_operator(
    changed: onnx.ModelProto, batch: MakeBatch, file: Path, library: ctypes.CDLL
) -> None:
    """ONNX Runtime heeds neither the domain's version nor the operator's last one: only a new name holds it back."""
    (version,) = (entry for entry in changed.opset_import if entry.domain == "liteft")
    version.version = 2
    session, before = open_session(changed, file), read_counters(library).calls
    run(session, batch("full", 4, 6, pad=0))
    assert read_counters(library).calls == before + 1


@pytest.mark.parametrize(("pooling", "other"), [("cls", "none"), ("none", "mean")])
def test_a_name_and_a_pooling_that_do_not_belong_together_are_refused(
    pooling: str, other: str, workshop: Workshop, file: Path
) -> None:
    model = exported(workshop.loaded("bert", pooling))
    set_attribute(model, "pooling", other)
    with pytest.raises(Exception, match=r"liteft: the attribute 'pooling' is .*which does not fit the operator's name"):
        open_session(model, file)


def test_an_operator_of_a_later_name_runs_as_its_definition(
    changed: onnx.ModelProto, batch: MakeBatch, file: Path, library: ctypes.CDLL
) -> None:
    changed.graph.node[0].op_type = changed.functions[0].name = "EncoderClassifier2"
    feed, before = batch("full", 4, 6, pad=0), read_counters(library).calls
    with_library, alone = run(open_session(changed, file), feed), run(open_session(changed), feed)
    np.testing.assert_array_equal(with_library, alone)
    assert read_counters(library).calls == before


def test_a_weight_of_another_type_shape_or_name_is_named(changed: onnx.ModelProto, file: Path) -> None:
    good = numpy_helper.to_array(initializer(changed))
    for array, words in (
        (good.astype(np.float64), "is not float32, float16, int8, or uint8"),
        (good[None], "has shape .1, 128, 64., and one or two dimensions were expected"),
        (good.T.copy(), "has shape .64, 128., and .128, 64. was expected"),
        (good[:, :0].copy(), "has shape .128, 0.: it is empty"),
    ):
        store(changed, array)
        with pytest.raises(Exception, match=f"liteft: the weight '{WEIGHT}' {words}"):
            open_session(changed, file)
    store(changed, good)
    names = list(changed.graph.node[0].input)
    rename_inputs(changed, [name for name in names if name != WEIGHT])
    with pytest.raises(Exception, match=f"liteft: the weight '{WEIGHT}' is missing"):
        open_session(changed, file)
    rename_inputs(changed, [*names, WEIGHT])
    with pytest.raises(Exception, match=f"liteft: .*names '{WEIGHT}' twice"):
        open_session(changed, file)


@pytest.mark.parametrize("threads", ["0", "-1", "many", "2.5", "1025", "9" * 30])
def test_threads_that_are_no_number_of_threads_are_an_error(
    threads: str, model: onnx.ModelProto, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEFT_THREADS", threads)
    with pytest.raises(Exception, match=f"liteft: .*LITEFT_THREADS is '{threads}'"):
        open_session(model, file)


def test_sessions_that_were_refused_leave_no_kernel(changed: onnx.ModelProto, file: Path, library: ctypes.CDLL) -> None:
    before = read_counters(library).kernels
    set_attribute(changed, "head", "none")
    set_attribute(changed, "pooling", "mean")
    for _ in range(10):
        with pytest.raises(Exception, match="liteft: "):
            open_session(changed, file)
    assert read_counters(library).kernels == before


def test_an_onnxruntime_that_is_too_old_is_told_so(library: ctypes.CDLL) -> None:
    said = []
    status = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)(
        lambda code, text: said.append((code, text)) or 1
    )
    table = (ctypes.c_void_p * 1)(ctypes.cast(status, ctypes.c_void_p))
    first = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(
        lambda version: None if version > 16 else ctypes.addressof(table)
    )
    version = ctypes.c_char_p(b"1.16.3")
    named = ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: ctypes.cast(version, ctypes.c_void_p).value)
    base = (ctypes.c_void_p * 2)(*(ctypes.cast(each, ctypes.c_void_p) for each in (first, named)))
    library.RegisterCustomOps.restype = ctypes.c_void_p
    assert library.RegisterCustomOps(None, base) == 1
    ((_, text),) = said
    assert text == b"liteft: the operator needs onnxruntime 1.17 or newer, and this is 1.16.3"


def test_the_library_registered_twice_is_an_error(model: onnx.ModelProto, file: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for _ in range(2):
        options.register_custom_ops_library(str(file))
    with pytest.raises(Exception, match="Domain already set"):
        onnxruntime.InferenceSession(model.SerializeToString(), options)
