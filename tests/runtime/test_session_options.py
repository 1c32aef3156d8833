"""The options of onnxruntime's sessions: int8 is multiplied exactly on every processor."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="its sessions are tested")

import onnxruntime
from onnx import TensorProto, helper

from liteft.machine import Processor
from liteft.runtime import onnx_engine
from liteft.runtime.onnx_engine import session_options

EXACT = "session.x64quantprecision"


def chosen(monkeypatch: pytest.MonkeyPatch, processor: Processor, *, exact: bool = True) -> bool:
    monkeypatch.setattr(onnx_engine, "read_processor", lambda: processor)
    options = session_options(exact=exact)
    try:
        return bool(options.get_session_config_entry(EXACT) == "1")
    except RuntimeError:  # there is no such entry
        return False


@pytest.mark.parametrize(
    ("processor", "needed"),
    [
        (Processor("old", "x86", {"AVX2": True, "VNNI": False}), True),
        (Processor("new", "x86", {"AVX2": True, "VNNI": True}), False),
        (Processor("unknown", "x86", None), True),
        (Processor("phone", "arm", {"dot product": False}), False),
    ],
)
def test_exact_products_are_asked_for_where_others_saturate(
    monkeypatch: pytest.MonkeyPatch, processor: Processor, needed: bool
) -> None:
    assert chosen(monkeypatch, processor) is needed
    assert not chosen(monkeypatch, processor, exact=False)


def test_the_largest_products_of_8_bits_are_exact_here() -> None:
    inputs = np.full((1, 64), 255, np.uint8)
    weights = np.full((64, 8), 127, np.int8)
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "largest",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 8])],
        [helper.make_tensor("w", TensorProto.INT8, weights.shape, weights.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_array_equal(session.run(None, {"x": inputs})[0], 64 * 255 * 127)
