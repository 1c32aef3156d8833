"""Independent calls as tasks of a Ray cluster: seeds of a distillation, shapes of a search.

A task does what the same call does without Ray: with as many threads it ends in the same bits. What it makes lies in
its run folder, so all nodes need that folder under the same path. A task whose worker dies is started again, and goes
on from its checkpoint.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteft.arguments import ProgressFunction
from liteft.errors import ConfigError, DeviceError, MissingExtraError, RunError, first_line, option
from liteft.installation import install_hint
from liteft.privacy import inherited

__all__ = ["ENGINES", "Call", "checked_engine", "in_tasks"]

ENGINES = ("local", "ray")
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
_RETRIES = 3
_LOOK = 0.5  # seconds between two looks at the progress
_GRACE = 30.0  # seconds that tasks get to end after an interrupt


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        name: what it makes, which begins each line of its progress.
        function: takes ``progress`` besides the arguments.
        arguments: its own ones; those that all calls share are given to ``in_tasks``.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


def checked_engine(engine: str, *, processes: int = 1) -> str:
    """Return the engine that independent trainings are to run in: "local", one after the other, or "ray".

    Raises:
        ConfigError: another name, or several processes for each task.
        MissingExtraError: Ray is asked for and not installed.
    """
    if engine not in ENGINES:
        raise ConfigError(
            f"the engine {engine!r} does not run trainings.",
            accepted={"engine": "local, one after the other; ray, as tasks of a Ray cluster"},
            fix=option("engine", "ray"),
        )
    if engine == "ray" and processes > 1:
        raise ConfigError(
            f"a Ray task trains in one process, and processes={processes} was requested.",
            accepted={"engine": "ray, for several trainings; processes, for a large one"},
            fix=[option("processes", 1), option("engine", "local")],
        )
    if engine == "ray":
        _ray()
    return engine


def in_tasks(
    calls: Sequence[Call], shared: tuple[Any, ...], *, threads: int, gpus: int, out: Path, progress: ProgressFunction
) -> list[Any]:
    """Make each call as a Ray task, and return what came out of each: a value, or the exception that it raised.

    Ray is started on this machine, unless it runs already or RAY_ADDRESS names a cluster.

    Args:
        calls: a task each.
        shared: the first arguments of all calls, which are sent once.
        threads: CPU threads of a task, and the CPUs that it takes.
        gpus: GPUs of a task.
        out: the folder that all of them write into.
        progress: called with lines of text.

    Raises:
        DeviceError: a task fits on no node of the cluster.
    """
    ray = _ray()
    with _connected(ray):
        _require_fit(ray, threads, gpus)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        cpus = int(ray.cluster_resources().get("CPU", 0))
        progress(f"ray: {len(calls)} tasks of {threads} threads; nodes: {len(nodes)}, CPUs: {cpus}")
        lines = ray.remote(num_cpus=0)(_Lines).remote()
        variables = dict.fromkeys(_POOLS, str(threads)) | inherited()
        task = ray.remote(
            num_cpus=threads, num_gpus=gpus, max_retries=_RETRIES, runtime_env={"env_vars": variables}, max_calls=1
        )(_called)
        given, place = ray.put(shared), (os.getcwd(), os.path.abspath(out))  # noqa: PTH100, PTH109
        tasks = [task.remote(call, given, lines, place) for call in calls]
        try:
            _await(ray, tasks, lines, progress)
        except BaseException:
            _end(ray, tasks)
            raise
        return [_outcome(ray, each, call) for each, call in zip(tasks, calls, strict=True)]


class _Lines:
    """Progress of all tasks, until it is looked at."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(line)

    def arrived(self) -> None:
        pass  # what was sent before has come

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


def _called(call: Call, shared: tuple[Any, ...], lines: Any, place: tuple[str, str]) -> Any:
    """Make a call in a worker, from the folder in which the one that asked for it stands."""
    folder, out = place
    if not (os.path.isdir(folder) and os.path.isdir(out)):  # noqa: PTH112
        import socket

        raise RunError(
            f"{socket.gethostname()}, a node of the Ray cluster, does not see {out}.",
            accepted={"out": "a folder that all nodes have under the same path, such as one on a shared file system"},
            fix=[option("out", "SHARED_FOLDER"), option("engine", "local")],
        )
    os.chdir(folder)
    tell = functools.partial(_told, lines, call.name)
    try:
        found = call.function(*shared, *call.arguments, progress=tell)
    except Exception:
        _wait_for(lines)
        raise
    _wait_for(lines)
    return found


def _told(lines: Any, name: str, line: str) -> None:
    lines.add.remote(f"{name}: {line.removeprefix(f'{name}: ')}")


def _wait_for(lines: Any) -> None:
    """Wait until all lines have arrived: the worker ends with its task."""
    ray = _ray()
    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(lines.arrived.remote())


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtraError("the engine ray needs Ray, which is not installed.", fix=install_hint("ray")) from None
    return ray


@contextlib.contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """Be connected to Ray while the body runs; leave a cluster that was started for it, and signals as they were."""
    if ray.is_initialized():
        yield
        return
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    address = os.environ.get("RAY_ADDRESS")
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=None if address else False,
        )
        if main:
            for number, handler in before.items():
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()
        if main:
            for number, handler in before.items():
                signal.signal(number, handler)


def _require_fit(ray: Any, threads: int, gpus: int) -> None:
    """Refuse tasks that Ray would let wait for ever."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most = int(max((each.get("CPU", 0) for each in resources), default=0))
    if any(each.get("CPU", 0) >= threads and each.get("GPU", 0) >= gpus for each in resources):
        return
    raise DeviceError(
        f"a task of {threads} threads{f' and {gpus} GPU' if gpus else ''} fits on no node of the Ray cluster.",
        accepted={"CPUs of its largest node": most},
        fix=[option("threads", max(1, most)), option("engine", "local")],
    )


def _await(ray: Any, tasks: list[Any], lines: Any, progress: ProgressFunction) -> None:
    """Wait for all tasks, and pass on what they tell."""
    waiting = tasks
    while True:
        if waiting:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_LOOK)
        last = not waiting
        for line in ray.get(lines.take.remote()):
            progress(line)
        if last:
            return


def _end(ray: Any, tasks: list[Any]) -> None:
    """End all tasks as Ctrl-C would, and by force if they do not end in time."""
    for each in tasks:
        ray.cancel(each, force=False)
    _, left = ray.wait(tasks, num_returns=len(tasks), timeout=_GRACE)
    for each in left:
        ray.cancel(each, force=True)


def _outcome(ray: Any, task: Any, call: Call) -> Any:
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        return error.cause if isinstance(error.cause, Exception) else error
    except ray.exceptions.RayError as error:
        return RunError(
            f"the task of {call.name} was lost {_RETRIES + 1} times: {first_line(error)}.",
            fix=["run the same again: it goes on from the last checkpoint", option("engine", "local")],
        )
