"""Random feeds and random damage: the operator answers with logits or with words, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="models to export need the extra 'train'")
pytest.importorskip("onnxruntime", reason="the operator is ONNX Runtime's")

from tests.exporting.conftest import WORDS, Workshop
from tests.native.sessions import Feed, exported, open_session, run, set_attribute

VALUES = [0, 1, 5, WORDS - 1, WORDS, -1, 2**31 - 1, 2**31, 2**63 - 1, -(2**63)]
SPOILT = {
    "layers": [-1, 0, 1, 2, 5, 2**31],
    "heads": [-4, 0, 1, 3, 64, 65],
    "epsilon": [0.0, -1.0, float("inf"), float("nan")],
    "position_padding_id": [-2, 0, 1, WORDS, 2**62],
    "pooling": ["cls", "mean", "", "cls\0"],
    "head": ["none", "gelu", "x" * 5000],
    "activation": ["silu", "é"],
    "int8_scheme": ["none", "per_row", "static", "per_tensor"],
}
pytestmark = pytest.mark.usefixtures("one_thread")


def random_feed(generator: np.random.Generator) -> Feed:
    """Return arrays of mostly one shape and type, with values that are mostly good."""
    shape = tuple(int(size) for size in generator.integers(0, 9, 2))
    feed = {}
    for name, end in (("input_ids", WORDS), ("attention_mask", 2), ("token_type_ids", 2)):
        own = shape if generator.random() < 0.95 else tuple(generator.integers(0, 4, generator.integers(0, 4)))
        array = np.asarray(generator.integers(0, end, own), dtype=np.int64)
        if array.size and generator.random() < 0.3:
            array.flat[generator.integers(array.size)] = VALUES[generator.integers(len(VALUES))]
        feed[name] = array.astype(np.int32) if generator.random() < 0.02 else array
    return feed


@pytest.mark.parametrize(("family", "pooling"), [("bert", "cls"), ("bert", "mean"), ("roberta", "cls")])
def test_malformed_feeds_never_crash(
    family: str, pooling: str, workshop: Workshop, batch: Callable[..., Feed], file: Path
) -> None:
    session = open_session(exported(workshop.loaded(family, pooling, paired=True), "int8"), file)
    good = batch("holes", 4, 9, pad=1)
    expected = run(session, good)
    generator = np.random.default_rng(0)
    outcomes = {"logits": 0, "words": 0}
    for _ in range(1500):
        feed = random_feed(generator)
        try:
            logits = run(session, feed)
        except Exception as error:
            assert str(error)
            outcomes["words"] += 1
            continue
        assert logits.shape == (len(feed["input_ids"]), 5)
        assert np.isfinite(logits).all()
        outcomes["logits"] += 1
    assert min(outcomes.values()) > 200, outcomes
    np.testing.assert_array_equal(run(session, good), expected)


def test_damaged_nodes_never_crash(workshop: Workshop, batch: Callable[..., Feed], file: Path) -> None:
    models = [exported(workshop.loaded("bert", paired=True), precision) for precision in ("fp32", "int8")]
    feed, generator, refused = batch("full", 2, 9, pad=0), np.random.default_rng(0), 0
    for _ in range(150):
        model = onnx.ModelProto()
        model.CopyFrom(models[generator.integers(2)])
        for name in generator.choice(list(SPOILT), generator.integers(0, 3), replace=False):
            choices = SPOILT[name]
            set_attribute(model, str(name), choices[generator.integers(len(choices))])
        names = list(model.graph.node[0].input)
        for _ in range(generator.integers(0, 3)):
            first, second = generator.integers(0, len(names), 2)
            names[first], names[second] = names[second], names[first]
        if generator.random() < 0.3:
            set_attribute(model, "inputs", " ".join(names))
        try:
            run(open_session(model, file), feed)
        except Exception as error:
            assert str(error)
            refused += 1
    assert 50 < refused < 150
