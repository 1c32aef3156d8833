"""uvicorn's HTTP/1.1, with bounds for what a client may send before anything of it is looked at.

Without them one connection fills the memory, without a key: by headers without an end, or by requests that it sends
without reading the answers.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from liteft.serving.service import Service
from liteft.serving.shedding import ADMIN, Refusals

__all__ = ["BoundedProtocol", "shedding_protocol"]

_ADMIN = ADMIN.encode()
_MOST_HEAD = 1 << 16  # bytes that have come, and the head of a request has not ended
_MOST_PIPELINED = 256  # requests that wait on a connection for the answer to the first


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too long, and requests that nobody waits for, with 400, and closes the connection."""

    refusals: Refusals | None = None
    _in_head = False
    _head = 0
    _shed = False  # the request that comes now has been refused already

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End to count."""
        self._in_head, self._head = False, 0
        if not self._refused():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body; that of a refused request is dropped."""
        if not self._shed:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if not self._shed:
            super().on_message_complete()
        self._shed = False

    def _refused(self) -> bool:
        """Answer a prediction at once if the queue is full and the connection is free, and return whether it was."""
        if self.refusals is None or self.parser.get_method() != b"POST" or _ADMIN in self.url:
            return False
        waits = self.pipeline or not (self.cycle is None or self.cycle.response_complete)
        if waits or self.expect_100_continue or self.parser.get_http_version() != "1.1":
            return False
        if self.parser.should_upgrade() or not self.parser.should_keep_alive():
            return False
        response = self.refusals.response()
        if response is None:
            return False
        self._shed = True
        self.transport.write(response)
        self.on_response_complete()
        return True

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > _MOST_HEAD:
            self.send_400_response(f"The head of a request may have {_MOST_HEAD} bytes.")
        elif len(self.pipeline) > _MOST_PIPELINED:
            self.send_400_response(f"Up to {_MOST_PIPELINED} requests of a connection may wait.")


def shedding_protocol(service: Service) -> type[BoundedProtocol]:
    """Return a protocol that refuses predictions while a service's queue is full: nothing is cheaper."""
    return type("SheddingProtocol", (BoundedProtocol,), {"refusals": Refusals(service)})
