"""Recorded answers: logits of a few fixed texts, stored in the manifest and compared when it is put into service.

Hashes show that the files are those that were verified. Recorded answers show that this machine, with its processor and
its versions of the engines, computes with them what was verified. The texts are LiteFT's own, so that nothing of
anybody's data is in the manifest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from liteft.errors import ModelError
from liteft.ragged import Ragged

__all__ = ["RECORDED_TEXTS", "check_recorded", "recorded_logits", "recorded_values"]

RECORDED_TEXTS = (
    "Is the parcel here yet?",
    "The second delivery, no. 4711, came at 9:30 and was left in the café's yard; nobody had asked for that.",
    "ÜBER 東京 😀 it's fine",
)
_QUESTION = "What was left?"
_EXACT, _ROUNDED = 2e-3, 0.1  # largest difference, beside logits of up to 1; larger logits may differ by as much more
_DIGITS = 6
_LARGE = 50.0  # what is beyond stands for never, as where no answer may be
_ENDS = 2  # of a unit of an answer: its logits as a start and as an end


def recorded_logits(classifier: Any) -> list[Any]:
    """Return the logits of the recorded texts, for the manifest.

    Args:
        classifier: what ``liteft.load`` returns.

    Returns:
        For each text: a list with a number for each label; of models of words a list of such lists, one for each word,
        and of models of questions one for each place where an answer may start and end.

    Raises:
        InputError: the model cannot read one of the texts.
        DeviceError, ModelError: the engine failed.
    """
    logits = classifier.run(classifier.encode(recorded_values(classifier.manifest)))
    rows = [logits[text : text + 1] for text in range(len(RECORDED_TEXTS))]
    plain = [row.values if isinstance(row, Ragged) else row[0] for row in rows]
    if classifier.manifest.task.extractive:
        plain = [row[:, :_ENDS] for row in plain]  # without the places in the context
    return [np.round(np.clip(row.astype(np.float64), -_LARGE, _LARGE), _DIGITS).tolist() for row in plain]


def check_recorded(classifier: Any) -> float | None:
    """Compare the logits of the recorded texts with the manifest's.

    Args:
        classifier: what ``liteft.load`` returns.

    Returns:
        The largest difference, in logits; None if the manifest has no recorded answers.

    Raises:
        ModelError: the logits differ by more than rounding explains.
    """
    manifest = classifier.manifest
    stored = manifest.recorded.get(classifier.backend) or next(iter(manifest.recorded.values()), None)
    if stored is None:
        return None
    found = recorded_logits(classifier)
    stored = stored if len(stored) == len(found) else [[]] * len(found)
    most = _EXACT if classifier.precision == "fp32" and manifest.form.precision != "int8" else _ROUNDED
    worst = 0.0
    for text, was, now in zip(RECORDED_TEXTS, stored, found, strict=False):
        before, after = np.asarray(was, dtype=np.float64), np.asarray(now, dtype=np.float64)
        difference = np.inf if before.shape != after.shape else float(np.abs(before - after).max(initial=0.0))
        scale = max(1.0, float(np.abs(before).max(initial=0.0)))
        if not difference <= most * scale:
            raise ModelError(
                f"{classifier.path} does not give its recorded answers here: the logits of {text[:40]!r} differ "
                f"by {difference:.3g}.",
                accepted={"difference": f"up to {most * scale:.3g}", "engine": classifier.backend},
                fix=["liteft doctor", "export the model again"],
            )
        worst = max(worst, difference)
    return worst


def recorded_values(manifest: Any) -> list[Any]:
    """Return the recorded texts in the form that a model reads."""
    if manifest.marked:
        return [(text, 1) for text in RECORDED_TEXTS]
    if manifest.paired:
        return [(_QUESTION, text) for text in RECORDED_TEXTS]
    return list(RECORDED_TEXTS)
