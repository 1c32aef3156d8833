"""What a search has found out so far, in OUT/search.json: a stopped search resumes from it.

Trained students and artifacts lie in folders of their own, which say themselves whether they are finished. Here is
what no folder says: what was measured, with what it depends on, and which trainings were given up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import RunError, first_line

__all__ = ["JOURNAL", "SearchState"]

JOURNAL = "search.json"
_FORMAT = 1
_KINDS = ("measured", "probed", "given_up", "refused")


class SearchState:
    """Facts by kind and name, each with a key of what it depends on: where the key is another, it is not known.

    Args:
        out: the folder of the search.

    Attributes:
        winners: the hashes of the manifests of all artifacts that it ever copied to OUT/artifact.

    Raises:
        RunError: its search.json cannot be read, or is of another version.
    """

    def __init__(self, out: Path) -> None:
        self._path = out / JOURNAL
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
                fix=f"remove {self._path}: what was trained and exported stays, and is measured again",
            ) from None
        if found != _FORMAT:
            raise RunError(f"{self._path} has format {found!r}.", accepted={"formats": _FORMAT})

    @property
    def result(self) -> dict[str, Any]:
        """What the last whole search came to; empty before."""
        return self._result

    def get(self, kind: str, name: str, key: Any) -> Any:
        """Return a fact, or None where it is not known or depends on something else than ``key``."""
        stored = self._facts[kind].get(name)
        return None if stored is None or stored["key"] != key else stored["value"]

    def put(self, kind: str, name: str, key: Any, value: Any) -> None:
        """Keep a fact, on disk too."""
        self._facts[kind][name] = {"key": key, "value": value}
        self.write({})

    def note_winner(self, manifest_sha256: str) -> None:
        """Keep the hash of a manifest that is about to be copied to OUT/artifact."""
        if manifest_sha256 not in self.winners:
            self.winners.append(manifest_sha256)
            self.write(self._result)

    def write(self, result: dict[str, Any]) -> None:
        """Write all facts and what they came to; {} while the search goes on."""
        self._result = result
        content = {"format": _FORMAT, "result": result, "winners": self.winners, "facts": self._facts}
        files.write_json(self._path, content)
        self.known = True
