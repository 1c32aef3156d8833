"""Fixtures of the server's tests: artifacts of every kind, loaded in this process and served beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="a server needs the extra 'serve'")
pytest.importorskip("torch", reason="the models that are served are exported with the extra 'train'")

from liteft.runtime import load
from liteft.runtime.native_library import VARIABLE
from tests.cache import Cache
from tests.serving.served import KINDS, Client, make_artifacts, serving


@pytest.fixture(scope="session")
def library(built: Path) -> Iterator[None]:
    """The native library, used while a test of this folder loads a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(built / "libliteft.so"))
        yield


@pytest.fixture(scope="session")
def artifacts(cache: Cache) -> Path:
    """A folder with an artifact of each kind, by its name. Not to be changed."""
    return cache("served-kinds", make_artifacts)


@pytest.fixture(scope="session")
def models(library: None, artifacts: Path) -> Iterator[dict[str, Any]]:
    """What ``liteft.load`` makes of each artifact."""
    with ExitStack() as opened:
        yield {kind: opened.enter_context(load(artifacts / kind, threads=1, backend="native")) for kind in KINDS}


@pytest.fixture(scope="session")
def served(library: None, artifacts: Path) -> Iterator[Callable[..., Client]]:
    """A function that returns a client of a server with these models, all of them without names; started once."""
    started: dict[tuple[str, ...], Client] = {}
    with ExitStack() as running:

        def serve(*kinds: str) -> Client:
            if kinds not in started:
                folders = [str(artifacts / kind) for kind in kinds or KINDS]
                started[kinds] = running.enter_context(serving(folders, threads=1, backend="native"))
            return started[kinds]

        yield serve


@pytest.fixture(scope="session")
def everything(served: Callable[..., Client]) -> Client:
    """A client of a server with a model of each kind."""
    return served()
