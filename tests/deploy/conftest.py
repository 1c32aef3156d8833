"""What the tests of deploy/ read: its files, and a real server that is started as they say."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from tests.cache import Cache
from tests.runtime.tiny import write_artifact
from tests.serving.serving import Server, running

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KEY = "0123456789abcdef0123456789abcdef"


def documents(name: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML file in deploy/."""
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")) if each is not None]


def document(name: str) -> dict[str, Any]:
    """Return the only document of a YAML file in deploy/."""
    (only,) = documents(name)
    return only


@dataclass(frozen=True)
class Started:
    """A server that asks for keys and has its metrics on a port of their own, as the Deployment has it."""

    server: Server
    metrics_port: int

    def metrics(self) -> str:
        """Return what Prometheus would read."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            return answer.read().decode()


@pytest.fixture(scope="session")
def started(cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A server of the model `reviews`, from a link, that has answered, refused and loaded again."""
    folder = tmp_path_factory.mktemp("deployed")
    artifact = cache("served", lambda made: write_artifact(made / "artifact")) / "artifact"
    (folder / "mnt").mkdir()
    (folder / "mnt" / "models").symlink_to(artifact)
    (folder / "keys").write_text(f"# clients\n{KEY}\n", encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"LITEFT_API_KEYS": str(folder / "keys"), "LITEFT_METRICS_PORT": str(port), "LITEFT_THREADS": "1"}
    with running([f"reviews={folder}/mnt/models"], **given, no_proxy="127.0.0.1") as server:
        assert server.ask("POST", "/predict", {"inputs": "late"}, {"X-API-Key": KEY})[0] == 200
        assert server.ask("POST", "/predict", {"inputs": 1}, {"X-API-Key": KEY})[0] == 422
        server.signal(signal.SIGHUP)
        server.wait_for_line("was loaded again")
        yield Started(server, port)
