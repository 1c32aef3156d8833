"""How many texts an export may lose: a share of a large split, two texts of a small one."""

from __future__ import annotations

import numpy as np
import pytest

from liteft.data import Split
from liteft.exporting import Limits, verify
from liteft.exporting.probes import ProbeResult


def beyond(texts: int, lost: int) -> dict[str, str]:
    """What is judged of an export that is wrong on ``lost`` texts, where the model is right on all."""
    labels = np.arange(texts) % 2
    model = np.eye(2, dtype=np.float32)[labels]
    exported = model.copy()
    exported[:lost] = exported[:lost, ::-1]
    split = Split("validation", ["a text"] * texts, None, labels)
    probes = ProbeResult(reference_difference=0.0, batch_difference=0.0, lengths=(1,))
    comparison = verify._Comparison("onnxruntime", split, "single_label", model, exported, probes)
    return verify._beyond(comparison, verify._measured(comparison), Limits(agreement=0.9).resolved("int8"))


@pytest.mark.parametrize(("texts", "most"), [(180, 2), (400, 2), (1000, 5), (4000, 20)])
def test_more_lost_texts_than_the_limit_are_beyond_it(texts: int, most: int) -> None:
    assert "accuracy" not in beyond(texts, most)
    assert "accuracy" in beyond(texts, most + 1)
