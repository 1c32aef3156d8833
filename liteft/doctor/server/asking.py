"""Requests to a server that is checked: Python's own HTTP, so that the check needs no extra."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from liteft.errors import ConfigError

__all__ = ["Answer", "Server", "UnreachableError"]

_SECONDS = 20.0
_TRIES = 5
_LONGEST_PAUSE = 2.0


class UnreachableError(Exception):
    """The server does not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: by name, in lower case.
        body: bytes.
        seconds: from the start of the request to its end, the connection included.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def content(self) -> Any:
        """The value of a body of JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def error(self) -> str:
        """What the server says was wrong; "" if it does not say it in its own way."""
        content = self.content
        found = content.get("error") if isinstance(content, dict) else None
        return found if isinstance(found, str) else ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Gives redirections as answers: a POST must not become a GET."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Server:
    """A server by its URL.

    Args:
        url: http:// or https://, a host, and a port or a path before all routes if there is one.
        key: that it accepts; None for none.

    Raises:
        ConfigError: the URL is of another form.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            near = url if "://" in url else f"http://{url}"
            raise ConfigError(
                f"{url!r} is not the URL of a server.",
                accepted={"URL": "http://HOST:PORT or https://HOST, without a route"},
                fix=f"liteft doctor --serve {near if urlsplit(near).hostname else 'http://127.0.0.1:8080'}",
            )
        self.url, self.key = url.rstrip("/"), key
        self._opener = urllib.request.build_opener(_NoRedirects())

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | bool | None = True,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to one request; one that is refused because the queue is full is sent again.

        Args:
            method, path: of the request; the path begins with a slash.
            body: bytes, or a value to send as JSON; None for none.
            key: True for the server's own, None for none, or another one.
            headers: further ones.

        Raises:
            UnreachableError: nobody answers, or not in time.
        """
        sent = dict(headers or {})
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if content is not None:
            sent["Content-Type"] = "application/json"
        given = self.key if key is True else key
        if given:
            sent["Authorization"] = f"Bearer {given}"
        for _ in range(_TRIES):
            answer = self._answer(urllib.request.Request(self.url + path, content, sent, method=method))
            if answer.status != 429:
                break
            wait = answer.content.get("retry_after_ms", 1000) if isinstance(answer.content, dict) else 1000
            time.sleep(min(_LONGEST_PAUSE, wait / 1000))
        return answer

    def _answer(self, request: urllib.request.Request) -> Answer:
        started = time.perf_counter()
        try:
            try:
                response = self._opener.open(request, timeout=_SECONDS)
            except urllib.error.HTTPError as error:  # a status that urllib takes for an error is an answer here
                response = error
            with response:
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, found, response.read(), time.perf_counter() - started)
        except urllib.error.URLError as error:
            raise UnreachableError(getattr(error.reason, "strerror", None) or str(error.reason)) from None
        except TimeoutError:
            raise UnreachableError(f"no answer within {_SECONDS:g} s") from None
        except (OSError, HTTPException) as error:
            raise UnreachableError(str(error) or type(error).__name__) from None
