"""A whole server: it listens, loads, answers, reloads on SIGHUP, and ends on SIGTERM without losing a request.

How it ends, for whoever sends it requests by its readiness: it says that it is not ready, and goes on to answer; after
``drain_delay`` it stops listening; what was admitted is finished, within ``drain_timeout``. While it ends, each answer
asks its client to close the connection. A second signal ends it at once.

uvicorn has no time between the signal and the end of listening, so signals are handled here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from liteft.data.notes import Words
from liteft.errors import ConfigError, LiteftError, option
from liteft.serving.app import create_app, create_service, metrics_app
from liteft.serving.protocol import shedding_protocol
from liteft.serving.service import Service
from liteft.serving.settings import ServeSettings

__all__ = ["serve"]

_log = logging.getLogger("liteft.serving")
_BACKLOG = 2048


def serve(
    artifacts: Sequence[str | os.PathLike[str]],
    *,
    settings: ServeSettings | None = None,
    tell: Callable[[str], None] | None = None,
    **loading: Any,
) -> None:
    """Serve artifacts over HTTP until SIGTERM or SIGINT. In the main thread.

    Args:
        artifacts: folders, each PATH or NAME=PATH; PATH is named for its folder.
        settings: limits, keys and where to listen; None for the usual ones.
        tell: called with a line of text for what happens to the server.
        **loading: arguments of ``liteft.load``.

    Raises:
        ConfigError: a setting or a name does not fit, or the port is taken.
        ArtifactError, DeviceError, ModelError, MissingExtraError: an artifact cannot be served.
    """
    chosen = settings or ServeSettings()
    service = create_service(artifacts, chosen, loading)
    say = tell or (lambda _: None)
    with contextlib.ExitStack() as opened:
        opened.enter_context(_collecting_seldom())
        listening = opened.enter_context(_listening(chosen.host, chosen.port))
        apart = chosen.metrics_port
        metrics = None if apart is None else opened.enter_context(_listening(chosen.host, apart))
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_Run(service, say).until_ended(listening, metrics))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # on Windows
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on a port. Raises ConfigError if that cannot be done."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            other_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
            raise ConfigError(
                f"{host}:{port} cannot be listened on: {reason}.",
                fix=option("port", port + 1 if port else 8080) if other_port else option("host", "127.0.0.1"),
            ) from None
        opened.listen(_BACKLOG)
        yield opened


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Run:
    """One run of a server, from loading to its end."""

    def __init__(self, service: Service, say: Callable[[str], None]) -> None:
        self._service, self._say = service, say
        self._ending = asyncio.Event()
        self._signals = 0
        self._reloading: asyncio.Future[None] | None = None

    async def until_ended(self, listening: socket.socket, metrics: socket.socket | None) -> None:
        """Serve until a signal. Raises LiteftError if the models cannot be loaded."""
        loop = asyncio.get_running_loop()
        servers = [(_server(create_app(self._service), self._service), listening)]
        if metrics is not None:
            servers.append((_server(metrics_app(self._service), self._service), metrics))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        running = [asyncio.ensure_future(server.serve(sockets=[opened])) for server, opened in servers]
        try:
            await self._load(listening, metrics)
            await self._ending.wait()
            await self._drained()
        finally:
            for server, _ in servers:
                server.should_exit = True
            await asyncio.gather(*running)
            self._service.close()

    async def _load(self, listening: socket.socket, metrics: socket.socket | None) -> None:
        """Load the models, while probes are answered, and say where."""
        service = self._service
        await asyncio.to_thread(service.load)
        gc.collect()
        gc.freeze()
        service.start()
        for name, model in service.models.items():
            loaded = model.loaded
            engine = loaded.classifier
            self._say(
                f"{name}: {engine.precision} on {engine.backend}, {engine.device}, {engine.threads} "
                f"thread{'' if engine.threads == 1 else 's'}, revision {loaded.revision}, {loaded.seconds:.2f} s"
            )
        if metrics is not None:
            self._say(f"metrics on {_address(metrics)}/metrics")
        self._say(f"ready on {_address(listening)}")

    async def _drained(self) -> None:
        """Wait until those who send requests have seen that this server is not ready."""
        service = self._service
        service.drain()
        self._say(f"ending: listening for {service.settings.drain_delay:g} s more")
        await asyncio.sleep(service.settings.drain_delay)

    def _end(self, number: int) -> None:
        self._signals += 1
        if self._signals > 1 or self._service.state == "loading":  # no request was admitted, and loading may take long
            self._say("ended at once: " + ("a second signal" if self._signals > 1 else "nothing was served yet"))
            os._exit(128 + number)
        self._ending.set()

    def _reload(self) -> None:
        if self._service.state == "ready":
            self._reloading = asyncio.ensure_future(self._reload_all())  # kept: the loop has only a weak reference

    async def _reload_all(self) -> None:
        for name in self._service.models:
            try:
                loaded = await asyncio.to_thread(self._service.reload, name)
            except LiteftError as error:
                text = f"{name} goes on with what was loaded before: "
                self._say(Words(f"{text}{error}", f"{text}{error.command_text()}"))
            except Exception as error:  # nobody awaits this task, and the other models are to be loaded
                _log.error("%s goes on with what was loaded before", name, exc_info=error)
            else:
                self._say(f"{name} was loaded again: revision {loaded.revision}, {loaded.seconds:.2f} s")


@contextlib.contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Meanwhile look for garbage in cycles at every 50,000th new object, and never among those of the start.

    Requests leave next to none; looking as often as Python does took a tenth of the core at 12,000 requests a second.
    """
    before = gc.get_threshold()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _server(app: Any, service: Service) -> _Server:
    """Return uvicorn's server for an application of a service; admission is ours."""
    settings = service.settings
    if settings.log_requests and not _log.handlers:
        shown = logging.StreamHandler(sys.stderr)
        shown.setFormatter(logging.Formatter("%(message)s"))
        _log.addHandler(shown)
        _log.setLevel(logging.INFO)
    return _Server(
        uvicorn.Config(
            app,
            http=shedding_protocol(service),
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
            timeout_keep_alive=75,
        )
    )
