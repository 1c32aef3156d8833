"""A trained classifier to a verified artifact."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from micro_models import PRECISIONS, VERIFIED
from micro_texts import texts_of
from peer_models import export_liteft

from liteft.artifact import read_artifact


@pytest.mark.benchmark(group="export")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_export(timed: Callable[..., Any], models: Path, tmp_path: Path, precision: Any) -> None:
    texts, number = texts_of("short", VERIFIED), count()

    def export() -> Path:
        out = tmp_path / str(next(number))
        export_liteft(models / "checkpoint", out, precision, texts)
        return out

    assert read_artifact(timed(export, rounds=3)).manifest.form.precision == precision
