"""SIGTERM and SIGHUP end a verb as Ctrl-C does: what is temporary goes, what is finished stays.

Schedulers, containers and closed terminals send them. Only the command line listens: a program that uses the library
has rules of its own.
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
    """A signal that ends the process; code that cleans up after an interrupt cleans up after this too.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def ending_like_interrupts() -> Iterator[None]:
    """Raise `Ended` when such a signal comes while the body runs, once: what follows is cleaning up."""
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
