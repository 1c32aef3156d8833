"""What a card says of a model that was trained with differential privacy: what is promised, and what is not."""

from __future__ import annotations

from collections.abc import Iterator

from liteft.artifact import Manifest
from liteft.run_card import promise_lines

__all__ = ["manifest_promise"]


def manifest_promise(manifest: Manifest) -> Iterator[str]:
    """Yield two items of a list: the promise with its numbers, and what it does not cover of an artifact."""
    assert manifest.privacy is not None
    beyond = []
    if manifest.calibration:
        beyond.append(f"int8's ranges, calibrated on texts of {manifest.calibration['split']}")
    if (manifest.vocabulary or {}).get("trimmed") == "at export":
        beyond.append("the choice of the vocabulary, by the texts that the export was given")
    return promise_lines(manifest.privacy, beyond)
