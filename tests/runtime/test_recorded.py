"""Recorded answers: what an artifact gave when it was made, and whether it gives the same here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft.errors import ModelError
from liteft.runtime.recorded import RECORDED_TEXTS, check_recorded, recorded_logits
from tests.runtime.tiny import write_artifact


def recorded(tmp_path: Path, **fields: Any) -> list[Any]:
    write_artifact(tmp_path / "plain", **fields)
    with liteft.load(tmp_path / "plain", threads=1) as classifier:
        return recorded_logits(classifier)


def test_the_recorded_answers_of_a_manifest_are_given_again(tmp_path: Path) -> None:
    logits = recorded(tmp_path)
    assert len(logits) == len(RECORDED_TEXTS)
    assert [len(row) for row in logits] == [4] * len(logits)
    write_artifact(tmp_path / "artifact", recorded={"onnxruntime": logits})
    with liteft.load(tmp_path / "artifact", threads=1) as classifier:
        difference = check_recorded(classifier)
    assert difference is not None and difference < 1e-5


def test_other_answers_than_the_recorded_ones_are_an_error_that_says_by_how_much(tmp_path: Path) -> None:
    logits = recorded(tmp_path)
    logits[1][2] += 0.5
    write_artifact(tmp_path / "artifact", recorded={"onnxruntime": logits})
    with (
        liteft.load(tmp_path / "artifact", threads=1) as classifier,
        pytest.raises(ModelError, match=r"does not give its recorded answers here: .* differ by 0\.5"),
    ):
        check_recorded(classifier)


def test_recorded_answers_of_another_shape_are_an_error(tmp_path: Path) -> None:
    logits = [row[:-1] for row in recorded(tmp_path)]
    write_artifact(tmp_path / "artifact", recorded={"onnxruntime": logits})
    with (
        liteft.load(tmp_path / "artifact", threads=1) as classifier,
        pytest.raises(ModelError, match="differ by inf"),
    ):
        check_recorded(classifier)


def test_fewer_recorded_answers_than_texts_are_an_error(tmp_path: Path) -> None:
    write_artifact(tmp_path / "artifact", recorded={"onnxruntime": recorded(tmp_path)[:1]})
    with liteft.load(tmp_path / "artifact", threads=1) as classifier, pytest.raises(ModelError, match="differ by inf"):
        check_recorded(classifier)


def test_an_artifact_without_recorded_answers_is_compared_with_nothing(tmp_path: Path) -> None:
    write_artifact(tmp_path / "artifact")
    with liteft.load(tmp_path / "artifact", threads=1) as classifier:
        assert check_recorded(classifier) is None


def test_a_model_of_pairs_records_pairs(tmp_path: Path) -> None:
    assert len(recorded(tmp_path, paired=True)) == len(RECORDED_TEXTS)
