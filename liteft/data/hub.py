"""Data sets from the Hugging Face hub, through the `datasets` package, which is imported only here.

No remote code is ever executed: the package reads data files only. Without a network, loading raises a
DataError that says so, unless the data set is in the package's own cache.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from liteft.errors import DataError, MissingExtraError, misspelt
from liteft.installation import install_hint

__all__ = ["hub_dataset", "is_hub_name"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.-]+)?")
_OFFLINE = (
    "offline", "connect", "resolve", "timed out", "timeout", "unreachable", "getaddrinfo", "max retries",
    "proxy",
)  # fmt: skip


def is_hub_name(name: str) -> bool:
    """Return True for "owner/name", "name" and either with ":config" at the end."""
    return len(name) <= 200 and _NAME.fullmatch(name) is not None


def hub_dataset(name: str) -> Mapping[str, Any]:
    """Return the splits of a hub data set: name -> datasets.Dataset.

    Args:
        name: "owner/name", or "owner/name:config" if there are several configurations.

    Raises:
        DataError: there is no such data set, or it has several configurations, or it is not in the cache and there
            is no network.
        MissingExtraError: `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(
            f"there is no file or folder {name!r}; looking on the hub needs `datasets`, which is not installed.",
            fix=[*misspelt(Path(name)), install_hint("hub")],
        ) from None
    path, _, config = name.partition(":")
    try:
        with _no_waiting():
            found = datasets.load_dataset(path, config or None)
    except Exception as error:  # a dozen classes of four packages; told apart by their messages
        raise _explain(name, error) from error
    if not isinstance(found, Mapping):
        raise DataError(
            f"{name} came from the hub as {type(found).__name__}, not as named splits.",
            accepted={"a data set": "a mapping of split names to rows"},
            fix="load it with the datasets library, and give its splits as {'train': ..., 'test': ...}",
        )
    return found


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    """Work offline, from the cache, if the hub's host name does not resolve: saves 23 s of retries."""
    import urllib.request
    from urllib.parse import urlsplit

    import datasets
    import huggingface_hub.constants as hub

    host = urlsplit(hub.ENDPOINT).hostname or "huggingface.co"
    if urllib.request.getproxies() or _resolves(host):
        yield
        return
    before = hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    try:
        hub.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        yield
    finally:
        hub.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False


def _explain(name: str, error: Exception) -> DataError:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    words = " ".join(f"{type(link).__name__} {link}" for link in chain).casefold()
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if "config name is missing" in words or "builderconfig" in words:
        return DataError(
            f"{name}: the configuration is missing or unknown: {first}",
            accepted={"name": "owner/name:config"},
            fix=f"{name.partition(':')[0]}:CONFIG, with the name of one of its configurations for CONFIG",
        )
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE")
    if offline or any(word in words for word in _OFFLINE):
        return DataError(
            f"there is no file or folder {name!r}, and no network to look for it on the hub.",
            accepted={"seen": first},
            fix=[
                *misspelt(Path(name)),
                "connect to the network (and unset HF_HUB_OFFLINE, HF_DATASETS_OFFLINE)",
                "download it elsewhere and give the folder of its parquet, csv or jsonl files",
            ],
        )
    return DataError(
        f"there is no file or folder {name!r}, and the hub has no data set of that name: {first}",
        accepted={"name": "owner/name, or owner/name:config"},
        fix=[*misspelt(Path(name)), "hf auth login, if it is private or gated"],
    )
