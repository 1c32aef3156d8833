"""A client that sends many requests a second over keep-alive connections from one thread, as cheaply as Python can.

Sockets are used directly: no event loop, no HTTP library, no object per request. The client has a core to itself and
polls without sleeping, so that a request is sent when it is due, and an answer is seen when it comes. With ``patient``
it sleeps for some tenths of a millisecond instead, for runs that share the core and do not ask for latencies.
"""

from __future__ import annotations

import gc
import math
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence

from load_arithmetic import EXPIRED, LOST, Record

_READ_BYTES = 1 << 20
_SENDS_PER_LOOK = 16  # requests that are due are sent so many at a time, between looks at the answers
_NAP_SECONDS = 0.0002
_CHECK_SECONDS = 1.0  # between calls of the watch, and between looks for expired requests


class Connection:
    """A connection that is free, or waits for the answer to one request."""

    __slots__ = ("buffer", "number", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=2.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer = b""
        self.number = -1


class Client:
    """Sends requests, each a bytes of its own or one that repeats, and records what became of them.

    Args:
        port: of the server on 127.0.0.1.
        requests: bytes of the requests; request n is ``requests[n % len(requests)]``.
        texts: number of texts of each of them.
        connections: number of connections.
        timeout: seconds after which a request without an answer is given up.
        patient: whether to sleep between looks.
        compare: whether to compare each answer's body with the first one to the same request.
        most_samples: about so many answers of each status are kept, evenly over the run.
        watch: called about once a second with the seconds since the start.
    """

    def __init__(
        self,
        port: int,
        requests: Sequence[bytes],
        texts: Sequence[int],
        *,
        connections: int,
        timeout: float = 30.0,
        patient: bool = False,
        compare: bool = False,
        most_samples: int = 4096,
        watch: Callable[[float], None] | None = None,
    ) -> None:
        self._address = ("127.0.0.1", port)
        self._requests, self._texts = requests, texts
        self._timeout, self._patient, self._watch = timeout, patient, watch
        self._most_samples = most_samples
        self._first: list[bytes | None] | None = [None] * len(requests) if compare else None
        self._epoll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._free: deque[Connection] = deque()
        self._waiting: deque[int] = deque()
        self._missing = 0
        self._begin = 0.0
        self._record = Record.of(array("d"), texts)
        for _ in range(connections):
            self._connect()

    def open_loop(self, due: array[float]) -> Record:
        """Send each request when it is due, and return the record when all of them have ended."""
        record = self._start(due)
        clock, count, place, check = time.perf_counter, len(due), 0, _CHECK_SECONDS
        while place < count or len(self._free) + self._missing < self._total:
            now = clock() - self._begin
            stop = min(place + _SENDS_PER_LOOK, count)
            while place < stop and due[place] <= now:
                self._dispatch(place, due[place])
                place += 1
            self._look()
            if now > check:
                check = now + _CHECK_SECONDS
                self._tick(now)
            if self._patient and (place >= count or due[place] - now > _NAP_SECONDS):
                time.sleep(_NAP_SECONDS)
        return self._finish(record)

    def closed_loop(self, seconds: float, most: int) -> Record:
        """Send a request on each connection as soon as the one before is answered, for some seconds.

        Args:
            seconds: no request is sent after them.
            most: more requests than can be sent in the time.
        """
        record = self._start(array("d", [seconds]) * most)
        place, clock, check = 0, time.perf_counter, _CHECK_SECONDS
        while (now := clock() - self._begin) < seconds or len(self._free) + self._missing < self._total:
            while self._free and now < seconds and place < most:
                record.due[place] = now
                self._dispatch(place, now)
                place += 1
            self._look()
            if now > check:
                check = now + _CHECK_SECONDS
                self._tick(now)
        for column in ("due", "sent", "done", "code", "late", "texts", "inside"):
            setattr(record, column, getattr(record, column)[:place])
        return self._finish(record)

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._open.values()):
            self._drop(connection)
        self._epoll.close()

    def _start(self, due: array[float]) -> Record:
        self._record = Record.of(due, self._texts)
        self._seen: dict[int, list[int]] = {}  # by status: answers, and every how many-th is kept
        self._record.changed = None if self._first is None else 0
        self._total = len(self._open) + self._missing
        gc.collect()
        gc.disable()
        self._begin = time.perf_counter() + 0.01
        return self._record

    def _finish(self, record: Record) -> Record:
        gc.enable()
        return record

    def _connect(self) -> bool:
        try:
            connection = Connection(self._address)
        except OSError:
            self._missing += 1
            return False
        self._open[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
        self._free.append(connection)
        return True

    def _drop(self, connection: Connection) -> None:
        number = connection.socket.fileno()
        self._epoll.unregister(number)
        del self._open[number]
        connection.socket.close()

    def _dispatch(self, place: int, possible: float) -> None:
        """Send a request now, or when a connection is free; ``possible`` is the time at which it could be sent."""
        if not self._free and self._missing:
            self._missing -= 1
            if not self._connect() and len(self._open) == 0:
                self._end(place, LOST)
                return
        if not self._free:
            self._waiting.append(place)
            self._record.waited += 1
            return
        self._send(self._free.popleft(), place, possible)

    def _send(self, connection: Connection, place: int, possible: float) -> None:
        content = self._requests[place % len(self._requests)]
        now = time.perf_counter() - self._begin
        self._record.sent[place] = now
        self._record.late[place] = max(now - possible, 0.0)
        connection.number = place
        try:
            sent = connection.socket.send(content)
            if sent < len(content):  # the server does not read: the time that this takes shows as lateness
                connection.socket.setblocking(True)
                connection.socket.sendall(content[sent:])
                connection.socket.setblocking(False)
        except OSError:
            self._lose(connection)

    def _look(self) -> None:
        for number, _ in self._epoll.poll(0, 256):
            connection = self._open.get(number)
            if connection is not None:
                self._receive(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(connection)
            return
        if connection.buffer:
            data = connection.buffer + data
        head = data.find(b"\r\n\r\n")
        size, keep = measure_head(data[:head]) if head >= 0 else (0, True)
        if head < 0 or (len(data) < head + 4 + size if size >= 0 else not data.endswith(b"0\r\n\r\n")):
            connection.buffer = data
            return
        connection.buffer = b""
        self._answered(connection, data, head + 4, keep)

    def _answered(self, connection: Connection, data: bytes, body: int, keep: bool) -> None:
        place, code = connection.number, int(data[9:12])
        self._end(place, code)
        self._keep(code, place, data, body)
        if code == 200:
            self._record.inside[place] = read_timing(data[:body])
        if self._first is not None and code == 200:
            which = place % len(self._requests)
            first = self._first[which]
            if first is None:
                self._first[which] = data[body:]
            elif first != data[body:]:
                assert self._record.changed is not None
                self._record.changed += 1
        connection.number = -1
        if keep:
            self._release(connection)
        else:
            self._drop(connection)
            self._replace()

    def _keep(self, code: int, place: int, data: bytes, body: int) -> None:
        """Keep every so many-th answer of a status, and twice as seldom whenever there are enough."""
        seen = self._seen.setdefault(code, [0, 1])
        if seen[0] % seen[1] == 0:
            self._record.samples[place] = data[:body], data[body:]
        seen[0] += 1
        if seen[0] == seen[1] * self._most_samples:
            own = [number for number in self._record.samples if self._record.code[number] == code]
            for number in own[1::2]:
                del self._record.samples[number]
            seen[1] *= 2

    def _lose(self, connection: Connection) -> None:
        """Note the end of a connection, and of its request if it has one."""
        if connection.number >= 0:
            self._end(connection.number, LOST)
        else:
            self._free.remove(connection)
        self._drop(connection)
        self._replace()

    def _replace(self) -> None:
        if self._connect():
            self._release(self._free.pop())

    def _release(self, connection: Connection) -> None:
        """Use a connection for a request that waits, or keep it free."""
        if self._waiting:
            self._send(connection, self._waiting.popleft(), time.perf_counter() - self._begin)
        else:
            self._free.append(connection)

    def _end(self, place: int, code: int) -> None:
        self._record.done[place] = time.perf_counter() - self._begin
        self._record.code[place] = code

    def _tick(self, now: float) -> None:
        if self._watch is not None:
            self._watch(now)
        for connection in list(self._open.values()):
            place = connection.number
            if place >= 0 and now - self._record.sent[place] > self._timeout:
                self._end(place, EXPIRED)
                connection.number = -1
                self._drop(connection)
                self._replace()


def measure_head(head: bytes) -> tuple[int, bool]:
    """Return the size of an answer's body by its head, -1 if it comes in chunks, and whether the connection stays."""
    lower = head.lower()
    keep = b"connection: close" not in lower
    place = lower.find(b"content-length:")
    if place < 0:
        return (-1 if b"transfer-encoding: chunked" in lower else 0), keep
    return int(lower[place + 15 :].split(b"\r\n", 1)[0]), keep


def read_timing(head: bytes) -> float:
    """Return the sum of the times of an answer's Server-Timing in seconds; NaN if it has none."""
    place = head.find(b"server-timing:")
    if place < 0:
        return math.nan
    parts = head[place:].split(b"\r\n", 1)[0].split(b";dur=")[1:]
    return sum(float(part.split(b",", 1)[0]) for part in parts) / 1000
