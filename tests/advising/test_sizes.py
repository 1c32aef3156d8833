"""What students would cost, within limits that may not have been measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from liteft.advising import sizes
from liteft.advising.sizes import shape_costs
from liteft.data import Dataset, Split
from liteft.finetuning.base import create_classifier


def test_a_depth_that_was_not_timed_is_too_slow_where_a_smaller_one_is(
    base: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = create_classifier(
        base, labels=dataset.labels, task=dataset.task, pooling="cls", max_tokens=16, paired=False
    )
    monkeypatch.setattr(sizes, "untrained_latency_ms", lambda *given, **more: 2.0)
    split = Split("test", ["a text"])
    for limit, others in ((1.0, {False}), (3.0, {None})):
        found = shape_costs(teacher, split, max_mb=None, max_ms=limit, seconds=-1, progress=lambda line: None)
        assert {each.within for each in found} == {None}, "nothing was timed"
        monkeypatch.setattr(sizes, "_times", lambda *given, **more: {1: (2.0, False)})
        found = shape_costs(teacher, split, max_mb=None, max_ms=limit, seconds=0, progress=lambda line: None)
        assert {each.within for each in found if each.layers > 1} == others
        assert {each.within for each in found if each.layers == 1} == {limit == 3.0}
        assert {each.ms for each in found if each.layers > 1} == {None}
        monkeypatch.undo()
        monkeypatch.setattr(sizes, "untrained_latency_ms", lambda *given, **more: 2.0)
