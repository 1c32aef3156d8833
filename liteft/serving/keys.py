"""API keys: several, in a file that is read again when it has changed, compared in constant time, never logged.

A file that was emptied, broken or removed lets nobody in, and the log says so: whoever revokes a key must be able to
rely on it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from liteft import files
from liteft.errors import ConfigError
from liteft.serving.refusals import Refused

__all__ = ["Keys"]

_log = logging.getLogger("liteft.serving")
_SHORTEST = 16  # characters
_LOOK_AFTER = 1.0  # seconds between two looks at the file


class Keys:
    """The keys in a file: one per line; empty lines, and lines that start with #, are none.

    Args:
        path: of the file.

    Raises:
        ConfigError: the file cannot be read, has no key, or a short one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: list[bytes] = []
        self._seen: tuple[int, int] | None = None
        self._looked = 0.0
        self._read()

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Accept a key in ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``.

        Raises:
            Refused: there is none, or it is none of the file's.
        """
        self._look_again()
        given = headers.get(b"x-api-key")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if given is None and scheme.lower() == b"bearer":
            given = token.strip()
        if given is None:
            raise Refused(401, "key", "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
        digest = hashlib.sha256(given).digest()
        found = False
        for known in self._digests:  # all of them, so that the time does not tell which one is close
            found |= hmac.compare_digest(digest, known)
        if not found:
            raise Refused(401, "key", "the key is not one of those that are accepted")

    def _look_again(self) -> None:
        """Read the file again if it has changed; one that cannot be used lets nobody in."""
        now = time.monotonic()
        if now - self._looked < _LOOK_AFTER:
            return
        self._looked = now
        try:
            state = self._state()
        except OSError:
            state = None
        if state == self._seen:
            return
        self._seen = state
        try:
            self._read()
        except ConfigError as error:
            self._digests = []
            _log.error("nobody is let in until this is mended: %s", error)

    def _read(self) -> None:
        try:
            self._seen = self._state()
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = files.os_reason(error) if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(
                f"the keys in {self._path} cannot be read: {reason}.", fix="a file with one key per line"
            ) from None
        keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not keys or min(map(len, keys)) < _SHORTEST:
            raise ConfigError(
                f"{self._path} holds {'a key that is too short' if keys else 'not a single key'}.",
                accepted={"a key": f"{_SHORTEST} characters or more, in a line of its own"},
                fix="openssl rand -hex 32",
            )
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def _state(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size
