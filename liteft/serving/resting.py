"""A short sleep of the event loop after refusals, so that requests are refused several at a time.

A refusal is short on a core whose caches hold what it needs, and many times as long where the engine has filled them
in between.
"""

from __future__ import annotations

import asyncio
import threading
import time

from liteft.serving.queueing import JobQueue

__all__ = ["Rest"]

_SECONDS = 0.02  # in which probes and new requests wait; results end it
_FEW = 8  # refusals that came together: after more of them half the time is enough
_MANY = 32  # refusals that came together already: whoever sends so many should not wait for a sleep, too


class Rest:
    """Sleeps in the event loop, once the requests that came with a refused one are dealt with.

    Args:
        queue: that was full; it is told how long new requests went unseen.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._slept = 0.0
        self._over = threading.Event()
        self._asked = False
        self._refused = 0

    def soon(self) -> None:
        """Sleep soon, for one request that was refused. In the event loop."""
        self._refused += 1
        if not self._asked:
            self._asked = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._sleep)  # behind the first steps of those that came together

    def end(self) -> None:
        """Wake the event loop: it has something to tell. From any thread."""
        self._over.set()

    def take_slept(self) -> float:
        """Return the seconds slept since the last call."""
        slept, self._slept = self._slept, 0.0
        return slept

    def _sleep(self) -> None:
        together, self._asked, self._refused = self._refused, False, 0
        if self._queue.idle or together > _MANY:  # nothing would wake it, or nothing would be gained
            return
        started = time.perf_counter()
        self._over.wait(_SECONDS if together <= _FEW else _SECONDS / 2)
        self._over.clear()
        seconds = time.perf_counter() - started
        self._slept += seconds
        self._queue.lag = max(self._queue.lag, seconds)
