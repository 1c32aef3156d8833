"""The operator for texts one after the other: the same bits as for a rectangle, and words for what does not fit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("torch", reason="models to export need the extra 'train'")
pytest.importorskip("onnxruntime", reason="the operator is ONNX Runtime's")

from liteft.encoder.operator import RAGGED_KIND
from liteft.form import Precision
from liteft.triton.ragged import ragged_node
from tests.exporting.conftest import POSITIONS, WORDS, Workshop
from tests.native.sessions import Feed, exported, open_session, read_counters, run, set_attribute

MakeBatch = Callable[..., Feed]
FAMILIES = ["bert", "roberta", "distilbert", "electra-projected"]
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-4, "int8": 0.05}  # int8 rounds sums of floats that differ in their last bits
VALUES = [0, 1, 5, WORDS - 1, WORDS, -1, 2**31 - 1, 2**31, 2**63 - 1, -(2**63)]

pytestmark = pytest.mark.usefixtures("one_thread")


def ragged(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an exported model whose node is the ragged one, in a graph of nothing else."""
    node, function = ragged_node(model)
    names = {value.name for value in model.graph.input} - {"attention_mask"} | {"offsets"}
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in node.input if name in names]
    graph = helper.make_graph([node], "ragged", inputs, model.graph.output, model.graph.initializer)
    made = helper.make_model(graph, functions=[function], opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(made, full_check=True)
    return made


def packed(feed: Feed) -> Feed:
    """Return a feed that is padded on the right as ids and types one text after the other, with offsets."""
    real = feed["attention_mask"] == 1
    offsets = np.concatenate([[0], np.cumsum(real.sum(axis=1))])
    return {"input_ids": feed["input_ids"][real], "token_type_ids": feed["token_type_ids"][real], "offsets": offsets}


@pytest.fixture(scope="module")
def model(workshop: Workshop) -> onnx.ModelProto:
    return ragged(exported(workshop.loaded("bert", paired=True)))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_gives_the_bits_of_the_rectangle_and_without_the_library_nearly_them(
    family: str,
    pooling: str,
    precision: Precision,
    workshop: Workshop,
    batch: MakeBatch,
    file: Path,
    library: ctypes.CDLL,
) -> None:
    loaded = workshop.loaded(family, pooling, paired=family != "distilbert")
    rectangle = exported(loaded, precision)
    made = ragged(rectangle)
    native, portable, padded = open_session(made, file), open_session(made), open_session(rectangle, file)
    for kind in ("full", "right"):
        for texts, tokens in ((1, 1), (1, 7), (5, 33)):
            feed = batch(kind, texts, tokens, pad=loaded.config.pad_token_id, seed=tokens)
            expected, before = run(padded, feed), read_counters(library)
            logits = run(native, packed(feed))
            after = read_counters(library)
            assert (after.calls - before.calls, after.rows - before.rows) == (1, feed["attention_mask"].sum())
            assert logits.tobytes() == expected.tobytes()
            np.testing.assert_allclose(run(portable, packed(feed)), expected, atol=TOLERANCE[precision])


def test_attributes_and_weights_are_those_of_the_other_node(workshop: Workshop) -> None:
    old = exported(workshop.loaded("roberta", "mean", paired=True), "int8")
    made = ragged(old)
    (before,), (node,), (function,) = old.graph.node, made.graph.node, made.functions
    values = [{each.name: helper.get_attribute_value(each) for each in one.attribute} for one in (before, node)]
    names = [value.pop("inputs").decode().split() for value in values]
    assert values[0] == values[1] and node.op_type == function.name == RAGGED_KIND
    assert names[1] == [name.replace("attention_mask", "offsets") for name in names[0]]
    assert len(function.input) == len(node.input) and made.opset_import == old.opset_import


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offsets": [0, 3, 8]}, "liteft: the last text ends at token 8, and input_ids has 9"),
        ({"offsets": [0, 3, -1]}, "liteft: the last text ends at token -1, and input_ids has 9"),
        ({"offsets": [1, 3, 9]}, "liteft: the first text begins at token 1, not 0"),
        ({"offsets": [0, 0, 9]}, "liteft: text 0 has no token"),
        ({"offsets": [0, 12, 9]}, "liteft: text 1 has no token"),
        ({"offsets": []}, "liteft: offsets is empty"),
        ({"offsets": [0, 2**40, 9]}, f"liteft: offsets = {2**40} is out of range"),
        ({"offsets": [[0, 3, 9]]}, r"liteft: offsets has shape \(1, 3\), and \(texts \+ 1\) was expected"),
        ({"input_ids": [[5] * 9]}, r"liteft: input_ids has shape \(1, 9\), and \(tokens\) was expected"),
        ({"input_ids": [5] * 8 + [WORDS]}, f"liteft: id {WORDS} at token 8 is not below {WORDS}"),
        ({"input_ids": [-1] + [5] * 8}, f"liteft: id -1 at token 0 is not below {WORDS}"),
        ({"input_ids": [2**32 + 5] + [5] * 8}, "liteft: input_ids = 4294967301 is out of range"),
        ({"token_type_ids": [0] * 8}, "liteft: token_type_ids has 8 values, and input_ids has 9"),
        ({"token_type_ids": [0] * 8 + [2]}, "liteft: type id 2 at token 8 is not below 2"),
    ],
)
def test_what_does_not_fit_is_named_and_the_session_goes_on(
    change: dict[str, list[int]], words: str, model: onnx.ModelProto, file: Path
) -> None:
    for each in model.graph.input:  # the shapes would be refused before the operator sees them
        each.type.tensor_type.ClearField("shape")
    session = open_session(model, file)
    good = {"input_ids": np.full(9, 5), "token_type_ids": np.zeros(9, dtype=np.int64), "offsets": np.array([0, 3, 9])}
    expected = run(session, good)
    with pytest.raises(Exception, match=words):
        run(session, good | {name: np.array(value, dtype=np.int64) for name, value in change.items()})
    np.testing.assert_array_equal(run(session, good), expected)


def test_a_text_with_more_tokens_than_positions_is_an_error(model: onnx.ModelProto, file: Path) -> None:
    tokens = POSITIONS + 1
    feed = {"input_ids": np.full(tokens, 5), "token_type_ids": np.zeros(tokens, dtype=np.int64)}
    with pytest.raises(Exception, match=f"liteft: text 0 has {tokens} tokens; the model has {POSITIONS} positions"):
        run(open_session(model, file), feed | {"offsets": np.array([0, tokens])})


def test_a_node_without_pooling_is_refused(model: onnx.ModelProto, file: Path) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    set_attribute(changed, "pooling", "none")
    with pytest.raises(Exception, match="liteft: the attribute 'pooling' is 'none', which does not fit"):
        open_session(changed, file)


def test_a_library_that_does_not_know_the_name_leaves_the_node_to_its_definition(
    model: onnx.ModelProto, batch: MakeBatch, file: Path, library: ctypes.CDLL
) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.node[0].op_type = changed.functions[0].name = "RaggedEncoderClassifier2"
    feed, before = packed(batch("right", 4, 9, pad=0)), read_counters(library)
    logits = run(open_session(changed, file), feed)
    assert read_counters(library).rows == before.rows
    np.testing.assert_allclose(logits, run(open_session(model, file), feed), atol=1e-4)


def test_malformed_feeds_never_crash(workshop: Workshop, batch: MakeBatch, file: Path) -> None:
    session = open_session(ragged(exported(workshop.loaded("roberta", paired=True), "int8")), file)
    good = packed(batch("right", 4, 9, pad=1))
    expected = run(session, good)
    generator = np.random.default_rng(0)
    outcomes = {"logits": 0, "words": 0}
    for _ in range(1500):
        lengths = generator.integers(0 if generator.random() < 0.2 else 1, 9, generator.integers(1, 6))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        count = int(offsets[-1])
        feed = {"input_ids": generator.integers(0, WORDS, count), "token_type_ids": generator.integers(0, 2, count)}
        feed["offsets"] = offsets
        for name in feed:
            if feed[name].size and generator.random() < 0.15:
                feed[name].flat[generator.integers(feed[name].size)] = VALUES[generator.integers(len(VALUES))]
        try:
            logits = run(session, feed)
        except Exception as error:
            assert str(error)
            outcomes["words"] += 1
            continue
        assert logits.shape == (len(lengths), 5) and np.isfinite(logits).all()
        outcomes["logits"] += 1
    assert min(outcomes.values()) > 200, outcomes
    np.testing.assert_array_equal(run(session, good), expected)
