"""Int8 files of every scheme and form in the operator: each product in int8, in float, or with int8 weights alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="models to export need the extra 'train'")
pytest.importorskip("onnxruntime", reason="the operator is ONNX Runtime's")

from liteft.exporting.blueprint import Blueprint
from liteft.exporting.calibration import calibrate_ranges
from liteft.exporting.quantization import Int8Plan
from liteft.form import ExportForm
from tests.exporting.conftest import Workshop, random_texts
from tests.native.sessions import Feed, open_session, read_counters, run

FORMS = [("bert", "cls"), ("bert", "mean"), ("electra-projected", "cls")]
pytestmark = pytest.mark.usefixtures("one_thread")


def prepared(workshop: Workshop, family: str, pooling: str) -> tuple[Blueprint, Int8Plan, int]:
    """Return a blueprint, its static quantization, and the padding id."""
    loaded = workshop.loaded(family, pooling)
    blueprint = Blueprint(loaded)
    encoded = loaded.tokenizer.encode(random_texts(60))
    ranges = calibrate_ranges(blueprint.flat("fp32"), blueprint.products, encoded, method="percentile")
    return blueprint, Int8Plan(ExportForm(scheme="static"), ranges), int(loaded.config.pad_token_id)


@pytest.mark.parametrize("form", ["weight_only", "float"])
@pytest.mark.parametrize(("family", "pooling"), FORMS)
def test_each_product_in_float_says_what_the_portable_graph_says(
    family: str, pooling: str, form: Any, workshop: Workshop, batch: Callable[..., Feed], file: Path
) -> None:
    blueprint, _, pad = prepared(workshop, family, pooling)
    feed = batch("right", 6, 19, pad=pad)
    coarse = run(open_session(blueprint.model("int8"), file), feed)
    everything = Int8Plan()
    for product in blueprint.products:
        everything = everything.falling_back(product, form)
        model = blueprint.model("int8", Int8Plan().falling_back(product, form))
        native, portable = run(open_session(model, file), feed), run(open_session(model), feed)
        np.testing.assert_allclose(native, portable, atol=0.02, err_msg=product)
        assert not np.array_equal(native, coarse), product
    model = blueprint.model("int8", everything)
    native, portable = run(open_session(model, file), feed), run(open_session(model), feed)
    # no product rounds any more; what is left is attention, which int8 computes in bfloat16 where there is any
    np.testing.assert_allclose(native, portable, atol=0.02)


@pytest.mark.parametrize("bits", [8, 7])
@pytest.mark.parametrize(("family", "pooling"), FORMS)
def test_a_static_file_is_computed_natively_close_to_float_and_to_the_portable_graph(
    family: str,
    pooling: str,
    bits: Any,
    workshop: Workshop,
    batch: Callable[..., Feed],
    file: Path,
    library: ctypes.CDLL,
) -> None:
    """The engine has a scale for each row instead: it is no further from float than half as far again as the portable
    graph, whose scales are those of whole tensors, and the two are within a fifth of the logits' spread."""
    blueprint, quantization, pad = prepared(workshop, family, pooling)
    model = blueprint.model("int8", Int8Plan(ExportForm(scheme="static", weight_bits=bits), quantization.ranges))
    feed = batch("right", 40, 30, pad=pad)
    before = read_counters(library)
    native = run(open_session(model, file), feed)
    assert read_counters(library).rows - before.rows == feed["attention_mask"].sum()
    portable, exact = run(open_session(model), feed), run(open_session(blueprint.model("fp32")), feed)

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.sqrt(((one - other) ** 2).mean()))

    assert apart(native, exact) < 1.5 * apart(portable, exact)
    assert apart(native, portable) < 0.2 * (exact - exact.mean(axis=0)).std()
