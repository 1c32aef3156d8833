"""What a card says of a model that was trained with differential privacy: what is promised, and what is not."""

from __future__ import annotations

from collections.abc import Iterator

from liteft.artifact import Manifest

__all__ = ["promise_lines"]


def promise_lines(manifest: Manifest) -> Iterator[str]:
    """Yield two items of a list: the promise with its numbers, and what it does not cover."""
    found = manifest.privacy
    assert found is not None
    yield (
        f"- Differential privacy: epsilon = {found['epsilon']:.3g}, delta = {found['delta']:.2g}, of each row of the "
        f"training split; {found['steps']:,} steps that each drew a row with probability {found['sample_rate']:.3g} "
        f"({found['sampling']} sampling), gradients clipped at {found['max_grad_norm']:g}, noise of "
        f"{found['noise_multiplier']:.3g} times that, added up by {found['accountant']}; trained: {found['trains']}"
    )
    beyond = [
        "whoever wrote several rows",
        "the names of the labels",
        "settings that were chosen after looking at results on these texts",
        "the metrics in this card",
        "files that lie beside the model in the run's folder",
    ]
    if manifest.calibration:
        beyond.append(f"int8's ranges, calibrated on texts of {manifest.calibration['split']}")
    if (manifest.vocabulary or {}).get("trimmed") == "at export":
        beyond.append("the choice of the vocabulary, by the texts that the export was given")
    yield f"- It does not cover {'; '.join(beyond)}"
