"""The package `huggingface_hub`: imported here, shown or quiet."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from liteft.errors import MissingExtraError
from liteft.installation import install_hint

__all__ = ["LIBRARY", "hub_client", "progress_bars"]

LIBRARY = "liteft"
"""What requests say they come from."""


def hub_client(seen: str) -> Any:
    """Return the package huggingface_hub, with those of its modules that are used here.

    Args:
        seen: what wants it, as the beginning of a sentence.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        raise MissingExtraError(
            f"{seen} needs `huggingface_hub`, which is not installed.", fix=install_hint("hub")
        ) from None
    return huggingface_hub


@contextlib.contextmanager
def progress_bars(hub: Any, *, quiet: bool) -> Iterator[None]:
    """Let the client draw its progress bars on a terminal only, and not where ``quiet`` is asked for."""
    utils = hub.utils
    if utils.are_progress_bars_disabled() or (not quiet and sys.stderr.isatty()):
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()
