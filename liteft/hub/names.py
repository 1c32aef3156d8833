"""Names of repositories on the hub, as users write them, and the folders of the hub's cache.

A name is OWNER/NAME, with @REVISION behind it for a branch, a tag or a commit. What exists on this machine is never
looked for on the hub, and neither is a path below a folder that exists here: ``runs/reviws`` beside a folder ``runs``
is a misspelt path. ``hf://OWNER/NAME`` is a name in any case.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from liteft.errors import ConfigError, option

__all__ = ["HubName", "hub_name", "is_commit", "origin_of", "repository"]

_SCHEME = "hf://"
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 96  # characters of OWNER/NAME, as the hub has it
_SNAPSHOTS = "snapshots"
_PREFIX = "models--"


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository of models, and which of its states is meant.

    Attributes:
        repo: OWNER/NAME.
        revision: a branch, tag or commit; None for the hub's main branch.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    @property
    def title(self) -> str:
        """The name without its owner."""
        return self.repo.partition("/")[2]


def hub_name(source: object, *, revision: str | None = None) -> HubName | None:
    """Return the repository that a word names; None if it is a path, or anything but a string.

    Args:
        source: what a user gave. A pathlib.Path is always a path.
        revision: given beside it; that of the word itself counts if this is None.

    Raises:
        ConfigError: there are two revisions, or one of a folder on this machine.
    """
    found = _named(source)
    if revision is None:
        return found
    if found is None:
        raise ConfigError(
            f"revision={revision!r} was given, and {str(source)[:200]!r} names no repository of the hub.",
            accepted={"revision": "of OWNER/NAME, where no such folder is on this machine"},
            fix=["leave out revision", f"hf://{source}, if it names a repository all the same"],
        )
    if found.revision not in (None, revision):
        raise ConfigError(
            f"{source} names a revision, and {revision!r} is another one.",
            fix=["leave out revision", f"{found.repo}@{revision}"],
        )
    if not _REVISION.fullmatch(revision):
        raise ConfigError(
            f"{revision[:200]!r} cannot be a revision.",
            accepted={"a revision": "a branch, a tag or a commit"},
            fix=option("revision", "main"),
        )
    return HubName(found.repo, revision)


def _named(source: object) -> HubName | None:
    if not isinstance(source, str):
        return None
    word = source.removeprefix(_SCHEME)
    repo, at, revision = word.partition("@")
    if not _is_repository(repo) or (at and not _REVISION.fullmatch(revision)):
        return None
    here = os.path.lexists(word) or os.path.isdir(repo.partition("/")[0])  # noqa: PTH112
    return None if here and word == source else HubName(repo, revision or None)


def repository(name: str) -> str:
    """Return the OWNER/NAME of a repository that something is to be pushed to.

    Raises:
        ConfigError: it is not of that form.
    """
    repo = name.removeprefix(_SCHEME)
    if not _is_repository(repo):
        raise ConfigError(
            f"{name[:200]!r} cannot be a repository of the hub.",
            accepted={"a repository": f"OWNER/NAME of up to {_LONGEST} letters, digits, and - _ . between them"},
            fix="acme/reviews, for a repository reviews of acme's",
        )
    return repo


def _is_repository(repo: str) -> bool:
    odd = "--" in repo or ".." in repo or repo.endswith(".git")
    return len(repo) <= _LONGEST and not odd and _REPO.fullmatch(repo) is not None


def is_commit(revision: str | None) -> bool:
    """Return whether a revision is the full hash of a commit, which never changes."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def origin_of(folder: Path) -> HubName | None:
    """Return the repository and the commit that a folder of the hub's cache is of; None for any other folder."""
    parts = folder.parts
    for place in range(len(parts) - 2, 0, -1):
        if parts[place] == _SNAPSHOTS and parts[place - 1].startswith(_PREFIX) and is_commit(parts[place + 1]):
            owner, _, name = parts[place - 1].removeprefix(_PREFIX).partition("--")
            return HubName(f"{owner}/{name}", parts[place + 1])
    return None
