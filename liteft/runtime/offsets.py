"""Places in a text in the units of those who read them: code points, or units of UTF-16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from liteft.errors import ConfigError, closest, option

__all__ = ["Offsets", "places_in"]

Offsets = Literal["code points", "utf16"]


def places_in(text: str, offsets: str) -> Callable[[int], int]:
    """Return the function from a place in code points of a text to one in the units that were asked for.

    Raises:
        ConfigError: ``offsets`` is not one of ``Offsets``.
    """
    if offsets not in ("code points", "utf16"):
        raise ConfigError(
            f"offsets must be code points or utf16, got {offsets!r}.",
            accepted={"offsets": "code points, utf16"},
            fix=option("offsets", closest(str(offsets), ("code points", "utf16")) or "utf16"),
        )
    if offsets == "code points" or text.isascii():
        return int
    beyond = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32) > 0xFFFF
    places = [*(np.cumsum(beyond) - beyond + np.arange(len(text))).tolist(), len(text) + int(beyond.sum())]
    return places.__getitem__
