"""OUT/search.json: the measurements of a search, from which a stopped search resumes.

Trained students and artifacts have folders of their own, which show whether they are finished. This file has what no
folder shows: measurements and the inputs that they depend on, refused exports, and trainings that were given up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import RunError, first_line

__all__ = ["STATE_FILE", "SearchState"]

STATE_FILE = "search.json"
_FORMAT = 1
_KINDS = ("measured", "probed", "given_up", "refused")


class SearchState:
    """Facts by kind and name, each stored with a key of the inputs that it depends on; another key means unknown.

    Args:
        out: the folder of the search.

    Attributes:
        winners: SHA-256 of the manifest of every artifact that was ever copied to OUT/artifact.

    Raises:
        RunError: search.json cannot be read or has another format version.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / STATE_FILE
        self.known = self._path.is_file()
        self._result: dict[str, Any] = {}
        self.winners: list[str] = []
        self._facts: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
        if not self.known:
            return
        try:
            content = files.read_json(self._path)
            found = content["format"]
            self._facts |= {kind: dict(content["facts"][kind]) for kind in _KINDS}
            self._result = dict(content["result"])
            self.winners = [str(each) for each in content["winners"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self._path} cannot be read: {first_line(error)}.",
                fix=f"remove {self._path}: students and artifacts are kept and measured again",
            ) from None
        if found != _FORMAT:
            raise RunError(
                f"{self._path} has format {found!r}.",
                accepted={"formats": _FORMAT},
                fix="install a newer liteft, or search in another folder",
            )

    @property
    def result(self) -> dict[str, Any]:
        """The result of the last finished search as plain data; empty before that."""
        return self._result

    def get(self, kind: str, name: str, key: Any) -> Any:
        """Return a fact, or None if it is unknown or was stored with another key."""
        stored = self._facts[kind].get(name)
        return None if stored is None or stored["key"] != key else stored["value"]

    def put(self, kind: str, name: str, key: Any, value: Any) -> None:
        """Store a fact, in memory and on disk."""
        self._facts[kind][name] = {"key": key, "value": value}
        self.write({})

    def note_winner(self, manifest_sha256: str) -> None:
        """Store the hash of a manifest that is about to be copied to OUT/artifact."""
        if manifest_sha256 not in self.winners:
            self.winners.append(manifest_sha256)
            self.write(self._result)

    def write(self, result: dict[str, Any]) -> None:
        """Write all facts and the result of the search; {} while it is unfinished."""
        self._result = result
        content = {"format": _FORMAT, "result": result, "winners": self.winners, "facts": self._facts}
        files.write_json(self._path, content)
        self.known = True
