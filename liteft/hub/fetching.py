"""Downloading a repository's files into the hub's cache: those that its own list of files names, and no others.

The list, such as an artifact's manifest.json, comes first. Files are compared in size with the list before they are
downloaded; their hashes are compared by whoever reads them, every time. What was downloaded is used again: a commit
without asking the hub, a branch after asking where it points, and with a warning where nobody answers.
"""

from __future__ import annotations

import glob
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from liteft.errors import HubError
from liteft.hub.client import LIBRARY, hub_client, progress_bars
from liteft.hub.names import HubName, is_commit
from liteft.hub.refusals import explained, is_unreachable

__all__ = ["Listed", "fetch"]

Listed = Callable[[Path], Mapping[str, int]]
"""Given the folder of a repository's list of files: the bytes of each file by its name."""
_WORKERS = 4


def fetch(name: HubName, lists: Mapping[str, Listed], *, quiet: bool = False) -> Path:
    """Return the folder in the hub's cache that has all listed files of a repository.

    Args:
        name: the repository; the folder's name is the commit.
        lists: by its name, each file that may list the others, with what reads it. The first that is there counts.
        quiet: draw no progress bars.

    Raises:
        HubError: the hub does not have it, refuses or cannot be reached, and it was not downloaded before; or a file
            has another size than the list says.
        MissingExtraError: `huggingface_hub` is not installed.
        LiteftError: what ``lists`` raise.
    """
    hub = hub_client(f"there is no folder {str(name)!r} here; looking for it on the hub")
    with progress_bars(hub, quiet=quiet):
        with explained(hub, name, "read"):
            cached = _only_cached(hub, name, list(lists))
            folder = _snapshot(hub, name, list(lists), cached=cached)
        index = next((index for index in lists if (folder / index).is_file()), None)
        if index is None:
            raise HubError(
                f"{name} has no {' or '.join(lists)}, so it was not made by LiteFT.",
                accepted={"a repository": "one that liteft push filled"},
                fix="check the spelling",
            )
        missing = {file: size for file, size in lists[index](folder).items() if not (folder / file).is_file()}
        if missing:
            here = replace(name, revision=folder.name)
            with explained(hub, here, "read"):
                if not hub.constants.HF_HUB_OFFLINE:
                    _compare_sizes(hub, here, missing, index)
                _snapshot(hub, here, [glob.escape(file) for file in missing], cached=hub.constants.HF_HUB_OFFLINE)
    return folder


def _only_cached(hub: Any, name: HubName, indexes: Sequence[str]) -> bool:
    """Return whether what was downloaded before has to do: nothing is asked, or nobody answers."""
    found = (hub.try_to_load_from_cache(name.repo, index, revision=name.revision) for index in indexes)
    known = next((Path(each) for each in found if isinstance(each, str)), None)
    if hub.constants.HF_HUB_OFFLINE or (is_commit(name.revision) and known is not None):
        return True
    try:
        info = _api(hub).model_info(name.repo, revision=name.revision, timeout=hub.constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:
        if known is None or not is_unreachable(error):
            raise
        warnings.warn(
            f"{hub.constants.ENDPOINT} does not answer, so {name} is what it was when it was last downloaded: commit "
            f"{_commit_of(known)[:12]}",
            stacklevel=2,
        )
        return True
    if info.id != name.repo:
        warnings.warn(f"{name.repo} is now {info.id} on the hub; anybody may take the old name", stacklevel=2)
    return False


def _commit_of(file: Path) -> str:
    return next((parent.name for parent in file.parents if is_commit(parent.name)), "")


def _snapshot(hub: Any, name: HubName, patterns: Sequence[str], *, cached: bool) -> Path:
    """Return the folder of a snapshot after downloading the files that the patterns name."""
    return Path(
        hub.snapshot_download(
            name.repo,
            revision=name.revision,
            allow_patterns=list(patterns),
            local_files_only=cached,
            etag_timeout=hub.constants.HF_HUB_ETAG_TIMEOUT,
            max_workers=_WORKERS,
            library_name=LIBRARY,
        )
    )


def _compare_sizes(hub: Any, name: HubName, sizes: Mapping[str, int], index: str) -> None:
    """Refuse files of another size than listed before they are downloaded."""
    found = _api(hub).get_paths_info(name.repo, list(sizes), revision=name.revision)
    there = {each.path: getattr(each, "size", None) for each in found}
    for file, size in sizes.items():
        if there.get(file) != size:
            has = "is missing" if there.get(file) is None else f"has {there[file]:,} bytes"
            raise HubError(
                f"{name}: {file} {has}, but {index} lists it with {size:,} bytes; nothing more was downloaded.",
                fix=["another revision", "tell its owner to push it again"],
            )


def _api(hub: Any) -> Any:
    return hub.HfApi(library_name=LIBRARY)
