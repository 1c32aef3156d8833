"""uvicorn's HTTP/1.1, with bounds for what a client may send before anything of it is looked at.

Without them one connection fills the memory, without a key: by headers without an end, or by requests that it sends
without reading the answers.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedProtocol"]

_MOST_HEAD = 1 << 16  # bytes that have come, and the head of a request has not ended
_MOST_PIPELINED = 256  # requests that wait on a connection for the answer to the first


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too long, and requests that nobody waits for, with 400, and closes the connection."""

    _in_head = False
    _head = 0

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End to count."""
        self._in_head, self._head = False, 0
        super().on_headers_complete()

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
