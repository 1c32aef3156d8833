"""liteft export --target triton, of a run's folder and of a finished artifact; liteft doctor --triton."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import call
from tests.exporting.conftest import write_unverified

__all__ = ["call"]

pytestmark = pytest.mark.usefixtures("native")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of texts with the labels of the tiny models."""
    path = tmp_path / "texts.jsonl"
    rows = [{"text": f"w{number} w{number + 1}", "label": f"label {number % 5}"} for number in range(20)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize("flags", [["--unlabeled", "TEXTS"], ["--data", "TEXTS", "--split", "all"]])
def test_a_finished_artifact_becomes_a_repository(
    flags: list[str], call: Any, workshop: Any, texts: Path, tmp_path: Path
) -> None:
    artifact = write_unverified(workshop.loaded("bert"), tmp_path / "artifact")
    words = [texts if each == "TEXTS" else each for each in flags]
    called = call("export", artifact.path, "--target", "triton", "--out", tmp_path / "out", *words)
    assert called.status == 0, called.err
    assert "a model repository for Triton, ensemble" in called.out and "not run in a Triton server" in called.out
    assert f"next: liteft doctor --triton {tmp_path / 'out'}" in called.err
    checked = call("doctor", "--triton", tmp_path / "out", "--json").document
    assert {"Triton", "Triton files"} <= {each["name"] for each in checked["findings"] if each["status"] == "ok"}


def test_flags_that_would_change_a_finished_artifact_are_refused(
    call: Any, workshop: Any, texts: Path, tmp_path: Path
) -> None:
    artifact = write_unverified(workshop.loaded("bert"), tmp_path / "artifact")
    words = ["--target", "triton", "--out", tmp_path / "out", "--unlabeled", texts]
    for flag in (["--precision", "fp16"], ["--vocabulary", "100"], ["--max-tokens", "9"], ["--overwrite"]):
        called = call("export", artifact.path, *words, *flag)
        assert called.status == 2 and "a finished artifact is served as it is" in called.err
        assert f"leave out {flag[0]}" in called.err
    called = call("export", artifact.path, "--target", "edge", "--out", tmp_path / "out", "--unlabeled", texts)
    assert called.status != 0 and "has been exported already" in called.err
    assert not (tmp_path / "out").exists()
