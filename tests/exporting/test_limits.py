"""How many texts an export may lose or label otherwise: a share of a large split, a few near ties of a small one."""

from __future__ import annotations

import numpy as np
import pytest

from liteft.data import Split
from liteft.errors import ConfigError
from liteft.exporting import Limits, verify
from liteft.exporting.disagreement import Comparison
from liteft.exporting.probes import ProbeResult
from liteft.tasks import ANSWERS, SINGLE_LABEL, Task


def beyond(texts: int, lost: int, won: int = 0) -> dict[str, str]:
    """An export that is wrong on ``lost`` texts, and right on ``won`` others where the model is wrong."""
    labels = np.arange(texts) % 2
    model = np.eye(2, dtype=np.float32)[labels]
    exported = model.copy()
    exported[:lost] = exported[:lost, ::-1]
    model[lost : lost + won] = model[lost : lost + won, ::-1]
    split = Split("validation", ["a text"] * texts, None, labels)
    probes = ProbeResult(reference_difference=0.0, batch_difference=0.0, lengths=(1,))
    comparison = Comparison("onnxruntime", split, SINGLE_LABEL, model, exported, probes)
    return verify._beyond(comparison, verify._measured(comparison), Limits().resolved("int8"))


@pytest.mark.parametrize(("texts", "most"), [(20, 4), (180, 4), (400, 4), (1000, 5), (4000, 20)])
def test_a_loss_beyond_the_limit_that_is_no_chance_is_named(texts: int, most: int) -> None:
    assert "accuracy" not in beyond(texts, most)
    assert "accuracy" in beyond(texts, most + 1)


@pytest.mark.parametrize(("lost", "won", "named"), [(60, 39, True), (150, 129, False), (60, 40, False)])
def test_texts_won_are_set_against_those_lost(lost: int, won: int, named: bool) -> None:
    assert ("accuracy" in beyond(4000, lost, won)) is named


@pytest.mark.parametrize(("texts", "most"), [(1, 0), (3, 1), (8, 1), (20, 2), (180, 7), (1000, 28), (5000, 117)])
def test_labels_that_differ_on_more_texts_than_chance_explains_are_named(texts: int, most: int) -> None:
    assert "same answer as the model" not in beyond(texts, most // 2, most - most // 2)
    assert "same answer as the model" in beyond(texts, most // 2, most + 1 - most // 2)


@pytest.mark.parametrize(("task", "given", "kept", "least"), [
    (SINGLE_LABEL, None, 0.96, "98.0%"), (ANSWERS, None, 0.96, None), (ANSWERS, None, 0.92, "95.0%"),
    (ANSWERS, 0.98, 0.96, "98.0%"), (SINGLE_LABEL, 0.9, 0.96, None),
])  # fmt: skip
def test_answers_may_differ_on_more_questions_than_labels_on_texts(
    task: Task, given: float | None, kept: float, least: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(task), "units", lambda *_: 4000)
    comparison = Comparison(
        "native", Split("validation", []), task, np.zeros(0), np.zeros(0), ProbeResult((1,), 0.0, 0.0)
    )
    found = verify._labels_beyond(kept, comparison, Limits(agreement=given))
    assert list(found) == ([] if least is None else [task.alike]) and all(
        f"limit {least}" in one for one in found.values()
    )


@pytest.mark.parametrize("agreement", [-0.1, 1.1])
def test_a_limit_out_of_range_is_refused(agreement: float) -> None:
    with pytest.raises(ConfigError, match=r"the limit agreement=.* is out of range") as caught:
        Limits(agreement=agreement)
    assert "leave out agreement" in str(caught.value)
