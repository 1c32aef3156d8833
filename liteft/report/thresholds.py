"""What must be said where some of the compared models have a tuned threshold and others the usual one."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["threshold_notes"]


def threshold_notes(tuned: Mapping[str, bool]) -> tuple[str, ...]:
    """Return a note if some models choose labels at a threshold tuned on validation, and others at 0.5.

    Args:
        tuned: name -> whether the model's threshold was tuned.
    """
    names = {kind: [name for name, each in tuned.items() if each is kind] for kind in (True, False)}
    if not all(names.values()):
        return ()
    return (
        f"labels are chosen at a threshold tuned on validation by {', '.join(names[True])}, and at 0.5 by "
        f"{', '.join(names[False])}: a part of the difference in F1 is due to that",
    )
