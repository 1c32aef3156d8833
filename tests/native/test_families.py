"""Every family that is built, with every pooling, with pairs and without: built, right, and run by the engine."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="models to export need the extra 'train'")
pytest.importorskip("onnxruntime", reason="the operator is ONNX Runtime's")
import torch

from liteft.encoder.families import BUILT
from liteft.encoder.spec import POOLINGS
from liteft.exporting.blueprint import Blueprint
from liteft.finetuning.model import uses_type_ids
from tests.exporting.conftest import Workshop, make_config
from tests.native.sessions import Feed, open_session, read_counters, run

EVERY = [
    (family, pooling, paired)
    for family in (*BUILT, "electra-projected")
    for pooling in POOLINGS
    for paired in ((False, True) if uses_type_ids(make_config(family, 2)) else (False,))
]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("family", "pooling", "paired"), EVERY)
def test_a_classifier_of_the_table_is_built_and_the_engine_runs_it(
    family: str,
    pooling: str,
    paired: bool,
    workshop: Workshop,
    batch: Callable[..., Feed],
    file: Path,
    library: ctypes.CDLL,
) -> None:
    loaded = workshop.loaded(family, pooling, paired=paired)
    blueprint = Blueprint(loaded)
    assert blueprint.trace_reason is None
    model = blueprint.model("fp32")
    feed = batch("right", 5, 33, pad=loaded.config.pad_token_id, typed=paired)
    known = {name: torch.from_numpy(array) for name, array in feed.items()}
    if not uses_type_ids(loaded.config):
        del known["token_type_ids"]
    with torch.inference_mode():
        expected = loaded.model(**known).logits.numpy()
    assert expected.std() > 0.05
    shown = feed["attention_mask"] == 1 if pooling == "none" else np.full(5, True)
    np.testing.assert_allclose(run(open_session(model), feed)[shown], expected[shown], atol=1e-5)
    before = read_counters(library).calls
    logits = run(open_session(model, file), feed)
    np.testing.assert_allclose(logits[shown], expected[shown], atol=1e-4)
    assert not logits[~shown].any()
    assert read_counters(library).calls == before + 1
