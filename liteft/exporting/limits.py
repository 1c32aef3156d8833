"""How far an exported model may be from the model it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from liteft.errors import ConfigError
from liteft.form import Precision

__all__ = ["Limits"]

_LOGITS: dict[Precision, float | None] = {"fp32": 1e-4, "fp16": 2e-2, "int8": None}
_BATCH: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-4, "int8": 1e-2}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a verification.

    Labels and accuracy fail where they are beyond their limit and chance does not explain it, one-sided p < 0.05: a
    few near ties of a small split prove nothing. With these limits an export fails from 2 labels that differ of 8
    texts, 8 of 180, 29 of 1,000; and from 5 texts lost of 180, where none is won.

    Attributes:
        logit_difference: largest difference of any logit; None for the precision's own limit: 1e-4 for fp32,
            2e-2 for fp16, none for int8, where labels decide.
        batch_difference: largest difference of a logit between a text alone and in a batch; None for 1e-4,
            and 1e-2 for int8, where a last bit can move a value to the next of its 255 steps.
        agreement: smallest share of texts that get the same label (multi-label: the same labels). Judged by the
            exact binomial test.
        accuracy_drop: largest loss of accuracy (multi-label: of exact matches), as a share: half a point. Judged by
            McNemar's test.
        texts: at most this many texts are compared, evenly spaced over the split.

    Raises:
        ConfigError: a value out of range.
    """

    logit_difference: float | None = None
    batch_difference: float | None = None
    agreement: float = 0.98
    accuracy_drop: float = 0.005
    texts: int = 5000

    def __post_init__(self) -> None:
        for name, most in (("agreement", 1.0), ("accuracy_drop", 1.0), ("texts", float("inf"))):
            least = 1 if name == "texts" else 0
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(
                    f"the limit {name}={value} is out of range.",
                    accepted={name: f"{least} to {most:g}"},
                    fix=f"Limits({name}={getattr(type(self), name)})",
                )

    def resolved(self, precision: Precision) -> Limits:
        """Return the limits with the precision's own values filled in where there is None."""
        return replace(
            self,
            logit_difference=_LOGITS[precision] if self.logit_difference is None else self.logit_difference,
            batch_difference=_BATCH[precision] if self.batch_difference is None else self.batch_difference,
        )
