"""Requests that are not answered: a status, a reason for metrics, and a text that says what would be accepted.

Overload is 429 and never a 5xx: gateways count 5xx as failures of the server, and take it out of service. 503 is kept
for a server that is loading or ending, 504 for a request that expired before it was computed.
"""

from __future__ import annotations

import math

from liteft.errors import LiteftError

__all__ = ["Refused", "draining", "expired", "gone", "loading", "overloaded", "refused_input", "too_large"]

_LONGEST_WAIT = 30


class Refused(Exception):
    """A request that gets an error instead of an answer.

    Attributes:
        status: the HTTP status.
        reason: a word for metrics and clients: "overloaded", "draining", "input" and so on.
        text: what was wrong, and what would be accepted.
        retry_after_ms: when to try again; None where that does not depend on time.
    """

    def __init__(self, status: int, reason: str, text: str, *, retry_after_ms: float | None = None) -> None:
        super().__init__(text)
        self.status, self.reason, self.text, self.retry_after_ms = status, reason, text, retry_after_ms

    @property
    def retry_after(self) -> int | None:
        """Whole seconds for the header Retry-After, from 1 to 30; None without one."""
        if self.retry_after_ms is None:
            return None
        return min(_LONGEST_WAIT, max(1, math.ceil(self.retry_after_ms / 1000)))


def overloaded(wait_ms: float, *, most_ms: float) -> Refused:
    """Return the refusal of a request that would wait ``wait_ms`` where ``most_ms`` are accepted.

    It is to come again when all that waits now has been computed: if all came as soon as there is room for one, most
    would be refused again.
    """
    text = f"the queue is full: this request would wait {wait_ms:,.0f} ms, and up to {most_ms:,.0f} ms are accepted"
    return Refused(429, "overloaded", text, retry_after_ms=max(1.0, wait_ms))


def too_large(reason: str, what: str, found: int, most: int, setting: str) -> Refused:
    """Return the refusal of a request with too many bytes, texts, characters or tokens; ``setting`` is the limit."""
    return Refused(413, reason, f"the request has {found:,} {what}, and up to {most:,} are accepted ({setting})")


def refused_input(text: str | LiteftError) -> Refused:
    """Return the refusal of a request that cannot be read, or whose values the model cannot read."""
    return Refused(422, "input", str(text))


def loading() -> Refused:
    """Return the refusal of a server that has not finished loading."""
    return Refused(503, "loading", "the models are being loaded", retry_after_ms=1000.0)


def draining() -> Refused:
    """Return the refusal of a server that is ending."""
    return Refused(503, "draining", "the server is ending; ask another one", retry_after_ms=1000.0)


def expired(waited_ms: float) -> Refused:
    """Return the refusal of a request whose time was over before it was computed."""
    return Refused(504, "expired", f"the request's time was over after {waited_ms:,.0f} ms, before it was computed")


def gone() -> Refused:
    """Return the refusal, for the log alone, of a request whose client has left."""
    return Refused(499, "cancelled", "the client closed the connection")
