"""SIGTERM and SIGHUP end a command as Ctrl-C does: temporary files are removed, and finished work stays.

Schedulers, containers and closed terminals send these signals. Only the command line handles them; a program that uses
the library handles signals as it likes.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["Ended", "ending_like_interrupts"]


class Ended(KeyboardInterrupt):
    """A signal that ends the process; code that cleans up after Ctrl-C cleans up after this as well.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def ending_like_interrupts() -> Iterator[None]:
    """Raise `Ended` at the first such signal while the body runs; later ones are ignored, for the cleaning up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    chosen = [number for number in numbers if before[number] is signal.SIG_DFL]  # nohup, for one, ignores SIGHUP

    def end(number: int, _frame: FrameType | None) -> None:
        for each in chosen:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    for number in chosen:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in chosen:
            signal.signal(number, before[number])
