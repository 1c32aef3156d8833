"""Tags of a head from elsewhere: whether its spans begin as LiteFT reads them, which its config.json does not say.

A head that was trained on IOB1 begins nearly every span with I-X, which no legal sequence of IOB2 has; decoded as IOB2,
its spans would be lost or get another type. What it was trained on shows in its largest logits alone.
"""

from __future__ import annotations

from typing import cast

from liteft.errors import ModelError
from liteft.finetuning.model import TorchClassifier
from liteft.ragged import Ragged, Rows
from liteft.tasks.tokens import Tokens

__all__ = ["refuse_iob1"]

_FEWEST = 10  # spans to tell by
_MOST_INSIDE = 0.8  # of the spans; heads of IOB2 begin one of twenty with I-X, untrained ones half of them


def refuse_iob1(loaded: TorchClassifier, logits: Rows) -> None:
    """Refuse a head from elsewhere that begins its spans with I-X, where it has a B-X too.

    Args:
        loaded: any classifier; those of whole texts, and LiteFT's own, pass.
        logits: of some texts.

    Raises:
        ModelError: it does.
    """
    if not loaded.settings.task.per_word or loaded.own:
        return
    inside, begin = cast(Tokens, loaded.settings.task).beginnings(cast(Ragged, logits))
    if inside + begin >= _FEWEST and inside > _MOST_INSIDE * (inside + begin):
        raise ModelError(
            f"{loaded.path} begins its spans with I-: it was trained on IOB1 tags, and tags are read as IOB2 here.",
            accepted={"spans that it begins with I-": f"{inside:,}", "spans that it begins with B-": f"{begin:,}"},
            fix=["give it a new head: liteft finetune --base FOLDER --data DATA, whose tags may be IOB1"],
        )
