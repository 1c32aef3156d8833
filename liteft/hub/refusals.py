"""What the hub and its client say, as errors in three parts.

The client raises classes of its own, of an HTTP library whose name changes from version to version, and of Python. So
network errors are known by the names of their base classes, and answers of the hub by their status.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from liteft.errors import HubError, LiteftError, first_line
from liteft.files import os_reason
from liteft.hub.names import HubName
from liteft.text_tables import one_line, shortened

__all__ = ["Doing", "explained", "is_unreachable"]

Doing = Literal["read", "write"]
_TIMEOUTS = {"TimeoutException", "Timeout", "TimeoutError"}
_NETWORK = {"TransportError", "NetworkError", "ConnectError", "ConnectionError", "gaierror"} | _TIMEOUTS
_AGAIN = "try again later"
_MOST_SAID = 400  # characters of what the client says


@contextlib.contextmanager
def explained(hub: Any, name: HubName, doing: Doing) -> Iterator[None]:
    """Turn every error in the block into a HubError; those of LiteFT pass.

    Args:
        hub: the client.
        name: what is read or written.
        doing: which of the two.

    Raises:
        HubError: the hub refuses, does not have what was asked for, or cannot be reached.
    """
    try:
        yield
    except LiteftError:
        raise
    except Exception as error:  # dozens of classes of several packages
        raise _explanation(hub, name, doing, error) from error


def is_unreachable(error: BaseException) -> bool:
    """Return whether nobody answered, or the hub itself failed: what was downloaded before is as good as ever."""
    return any(_is_network(each) or (_status(each) or 0) >= 500 for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from; what was merely being handled meanwhile is another matter."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        yield link
        seen.append(link)
        link = link.__cause__


def _is_network(error: BaseException) -> bool:
    return bool({kind.__name__ for kind in type(error).__mro__} & _NETWORK) and _status(error) is None


def _status(error: BaseException) -> int | None:
    """Return the status of the hub's answer; None if there was none."""
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None


def _explanation(hub: Any, name: HubName, doing: Doing, error: Exception) -> HubError:
    known, chain = hub.errors, list(_chain(error))
    if any(isinstance(each, known.OfflineModeIsEnabled) for each in chain):
        return _offline(hub, name)
    for each in chain:
        if isinstance(each, known.GatedRepoError):
            return _gated(hub, name)
        if isinstance(each, known.RepositoryNotFoundError):
            return _unknown(hub, name, doing)
        if isinstance(each, known.RevisionNotFoundError):
            return _no_revision(hub, name)
        if (status := _status(each)) == 400:
            return _objected(name, doing, error)
        if status is not None:
            return _refused(hub, name, doing, status, each)
    if isinstance(error, known.LocalEntryNotFoundError) and hub.constants.HF_HUB_OFFLINE:
        return _offline(hub, name)
    for each in chain:
        if _is_network(each):
            return _no_answer(hub, name, doing, each)
    return _failed(hub, name, doing, error)


def _login(doing: Doing) -> str:
    return f"hf auth login, or HF_TOKEN in the environment, with a token that may {doing} it"


def _offline(hub: Any, name: HubName) -> HubError:
    return HubError(
        f"{name}: there is no such folder here, HF_HUB_OFFLINE is set, and it was not downloaded before, or in part.",
        accepted={"cache": hub.constants.HF_HUB_CACHE},
        fix=["unset HF_HUB_OFFLINE, where there is a network", "copy a cache that has it, and name it in HF_HUB_CACHE"],
    )


def _gated(hub: Any, name: HubName) -> HubError:
    return HubError(
        f"{name.repo} is gated: only logins that its owner has let in may read it.",
        fix=[f"ask for it at {hub.constants.ENDPOINT}/{name.repo}", _login("read")],
    )


def _unknown(hub: Any, name: HubName, doing: Doing) -> HubError:
    return HubError(
        f"{name.repo}: {_not_here(doing)}the hub has no such model, or none that this login may see.",
        accepted={"hub": hub.constants.ENDPOINT},
        fix=["check the spelling", _login(doing)],
    )


def _no_revision(hub: Any, name: HubName) -> HubError:
    return HubError(
        f"{name.repo} has no revision {name.revision or 'main'!r}.",
        accepted={"a revision": "a branch, a tag or a commit of it"},
        fix=f"one of {hub.constants.ENDPOINT}/{name.repo}/commits/main",
    )


def _refused(hub: Any, name: HubName, doing: Doing, status: int, error: BaseException) -> HubError:
    """Return the error for an answer of the hub by its status."""
    seen = {"answer": f"{status} {_told(error)}".strip()}
    if status == 401:
        return HubError(f"the hub wants a valid login to {doing} {name.repo}.", accepted=seen, fix=_login(doing))
    if status == 403:
        return HubError(f"this login may not {doing} {name.repo}.", accepted=seen, fix=_login(doing))
    if status in (409, 412):
        return HubError(f"{name.repo} was changed by somebody else meanwhile.", accepted=seen, fix="try again")
    if status == 429:
        return HubError("the hub wants fewer requests from this login.", accepted=seen, fix=_AGAIN)
    if status >= 500:
        return HubError(f"{hub.constants.ENDPOINT} failed: it answers with status {status}.", accepted=seen, fix=_AGAIN)
    return HubError(f"the hub refused to let {name.repo} be {_done(doing)}.", accepted=seen, fix=_AGAIN)


def _objected(name: HubName, doing: Doing, error: Exception) -> HubError:
    """Return the error for a request that the hub does not accept; the client says what it objects to."""
    return HubError(
        f"the hub refused to let {name.repo} be {_done(doing)}.",
        accepted={"answer": f"400 {shortened(one_line(str(error)), _MOST_SAID)}"},
        fix="change what the answer names",
    )


def _told(error: BaseException) -> str:
    """Return what the hub says of a refusal, in one line."""
    response: Any = getattr(error, "response", None)
    said = response.headers.get("X-Error-Message") or getattr(error, "server_message", None) or ""
    return first_line(str(said)) if said else ""


def _no_answer(hub: Any, name: HubName, doing: Doing, error: BaseException) -> HubError:
    late = bool({kind.__name__ for kind in type(error).__mro__} & _TIMEOUTS)
    how = "did not answer in time" if late else "cannot be reached"
    return HubError(
        f"{name.repo} cannot be {_done(doing)}: {_not_here(doing)}{hub.constants.ENDPOINT} {how}.",
        accepted={"seen": first_line(error)},
        fix=["check the network, and HF_ENDPOINT where it is set", _AGAIN],
    )


def _failed(hub: Any, name: HubName, doing: Doing, error: Exception) -> HubError:
    if isinstance(error, OSError) and error.errno:
        return HubError(
            f"{name.repo} cannot be kept in {hub.constants.HF_HUB_CACHE}: {os_reason(error)}.",
            fix=["free some space there", "another folder in HF_HUB_CACHE"],
        )
    return HubError(
        f"{name.repo} could not be {_done(doing)}.",
        accepted={"seen": first_line(error)},
        fix="try again: files that are complete are kept",
    )


def _not_here(doing: Doing) -> str:
    """Return what else is wrong where a name is read: a folder would have been taken first."""
    return "there is no such folder here, and " if doing == "read" else ""


def _done(doing: Doing) -> str:
    return "read" if doing == "read" else "written"
