"""Start the ranks of one training on this machine, with torch.distributed.run, and wait for them.

The ranks run in sessions of their own: a signal reaches the process that started them, and torch's agent passes it on.
If a rank fails, the agent ends the others.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from liteft import files
from liteft.arguments import ProgressFunction, require_count
from liteft.errors import ConfigError, LiteftError, RunError, first_line, leave_out, option
from liteft.ranks.rank import START
from liteft.ranks.request import REQUEST, Failure, LinesRead, Request, read_failure

__all__ = ["checked_processes", "launch", "local_share"]

_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")
_QUIET = {"TOKENIZERS_PARALLELISM": "true", "TORCH_CPP_LOG_LEVEL": "ERROR"}
_AFTER_A_SIGNAL = (-signal.SIGTERM, 130)  # exit statuses of those that the agent has ended
_LOOK = 0.2  # seconds between two looks at the progress


def checked_processes(processes: int) -> int:
    """Return the number of processes that a training is to have on this machine.

    Raises:
        ConfigError: not a positive integer, more than the GPUs of this machine, or several inside a training of several
            processes.
    """
    require_count("processes", processes)
    if processes == 1:
        return 1
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        raise ConfigError(
            f"processes={processes} was requested in a process that torchrun or another launcher has started.",
            accepted={"processes": "from a process of your own, or those of the launcher"},
            fix=leave_out("processes"),
        )
    import torch

    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise ConfigError(
            f"{processes} processes need a GPU each, and this machine has {torch.cuda.device_count()}.",
            accepted={"processes": f"1 to {torch.cuda.device_count()}"},
            fix=option("processes", torch.cuda.device_count()),
        )
    return processes


def local_share(threads: int | None) -> int | None:
    """Return how many of a training's threads on this machine are this rank's: an equal share, 1 at least.

    None, for threads that were left open, stays None: `launch` has limited those.
    """
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return None if threads is None else max(1, threads // ranks)


def launch(
    function: Callable[..., Any],
    *arguments: Any,
    processes: int,
    threads: int | None,
    progress: ProgressFunction | None,
    callbacks: Sequence[Any] = (),
    **keywords: Any,
) -> None:
    """Make one call in several ranks, and return when all of them have ended.

    Args:
        function: called in each rank with the arguments, ``callbacks``, and ``progress`` in the first.
        arguments, keywords: of the call; they are pickled.
        processes: number of ranks.
        threads: CPU threads of all ranks together; None for OMP_NUM_THREADS, or one per core.
        progress: called with the lines of the first rank, in a thread.
        callbacks: of the call; their classes must be importable in another process.

    Raises:
        LiteftError: what a rank raised.
        RunError: a rank was killed.
        ConfigError: a callback that cannot be sent to another process.
    """
    with files.temporary_folder() as folder:
        request = Request(function, arguments, {**keywords, "callbacks": tuple(callbacks)}, os.getpid())
        (folder / REQUEST).write_bytes(_pickled(request, callbacks))
        share = max(1, (threads or _default_threads()) // processes)
        given = {
            "environment": dict.fromkeys(_POOLS, str(share)) | _QUIET,
            "path": [str(Path(files.__file__).resolve().parent.parent), *map(os.path.abspath, sys.path)],
            "folder": str(folder),
        }
        with _told(LinesRead(folder), progress):
            ended = _run([sys.executable, "-c", START, json.dumps(given)], processes, folder)
        if ended:
            raise _cause(folder, ended, processes)


def _default_threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pickled(request: Request, callbacks: Sequence[Any]) -> bytes:
    kinds: list[Any] = [one if isinstance(one, type) else type(one) for one in callbacks]
    given = [request.keywords.get("loss"), *(request.keywords.get("metrics") or {}).values()]
    kinds += [one if hasattr(one, "__qualname__") else type(one) for one in given if one is not None]
    own = [kind.__qualname__ for kind in kinds if kind.__module__ == "__main__"]
    what, reason = ", ".join(own), "it is defined in the script itself"
    if not own:
        try:
            return pickle.dumps(request)
        except Exception as error:  # whatever a user's own object raises
            what, reason = ", ".join(kind.__qualname__ for kind in kinds) or "the arguments", first_line(error)
    raise ConfigError(
        f"{what} cannot be sent to other processes: {reason}.",
        accepted={
            "callbacks, metrics, loss": "of several processes: classes and functions of a module that can be imported, "
            "with plain attributes"
        },
        fix=["move it into a module of its own", leave_out("processes")],
    )


def _run(command: list[str], processes: int, folder: Path) -> dict[int, int]:
    """Run a command in every rank; return the exit statuses of those that failed, negative for signals.

    A signal is raised again once the ranks have ended.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    main = threading.current_thread() is threading.main_thread()
    before = {name: signal.getsignal(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        logs_specs=DefaultLogsSpecs(str(folder / "logs"), redirects=dict.fromkeys(range(1, processes), Std.ALL)),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle=",".join(name for name, known in before.items() if known is not signal.SIG_IGN),
    )
    caught: int | None = None
    try:
        with _quiet_agent():
            elastic_launch(config, command[0])(*command[1:])
    except ChildFailedError as error:
        return {rank: failure.exitcode for rank, failure in error.failures.items()}
    except SignalException as error:
        caught = int(error.sigval)
    finally:
        if main:
            for name, known in before.items():
                signal.signal(getattr(signal, name), known)
    if caught is not None:
        signal.raise_signal(caught)
        raise KeyboardInterrupt  # where the signal was not the process's own business
    return {}


@contextlib.contextmanager
def _quiet_agent() -> Iterator[None]:
    """Keep the agent from logging that it ends ranks: the error says so."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.")]
    loggers = [each for each in map(logging.getLogger, names) if not each.disabled]
    for each in loggers:
        each.disabled = True
    try:
        yield
    finally:
        for each in loggers:
            each.disabled = False


@contextlib.contextmanager
def _told(lines: LinesRead, progress: ProgressFunction | None) -> Iterator[None]:
    """Pass on the first rank's progress while the body runs; what ``progress`` raises is raised at the end."""
    ended = threading.Event()
    raised: list[Exception] = []

    def tell() -> None:
        last = False
        while not last:
            last = ended.wait(_LOOK)
            for line in lines:
                if progress is not None and not raised:
                    try:
                        progress(line)
                    except Exception as error:
                        raised.append(error)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
        lines.close()
    if raised:
        raise raised[0]


def _cause(folder: Path, ended: dict[int, int], processes: int) -> BaseException:
    """Return why the ranks ended: the first that was killed, or else what the first that failed has raised.

    When a rank dies, the others fail too, in the middle of what they do together, and the agent ends them.
    """
    killed = sorted(rank for rank, status in ended.items() if status < 0 and -status != signal.SIGTERM)
    if killed:
        return _killed(killed[0], -ended[killed[0]], processes)
    failures = [found for rank in sorted(ended) if (found := read_failure(folder, rank)) is not None]
    if failures:
        return min(failures, key=_order).raised()
    rank = min(ended, key=lambda each: (ended[each] in _AFTER_A_SIGNAL, each))
    status = ended[rank]
    if status < 0:
        return _killed(rank, -status, processes)
    said = _last_line(folder, rank)
    return RunError(
        f"process {rank + 1} of {processes} ended with status {status}.",
        accepted={"its last line": said} if said else None,
        fix="run it in one process, to see what it says: leave out processes",
    )


def _order(failure: Failure) -> tuple[bool, float]:
    return not isinstance(failure.error, LiteftError), failure.when


def _killed(rank: int, number: int, processes: int) -> RunError:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    usual = {"often": f"memory ran out: {processes} processes take {processes} times that of one"}
    return RunError(
        f"process {rank + 1} of {processes} was killed by {name}; the others were ended.",
        accepted=usual if number == signal.SIGKILL else None,
        fix=["run the same again: it goes on from the last checkpoint", option("processes", max(1, processes // 2))],
    )


def _last_line(folder: Path, rank: int) -> str:
    """Return the last line that a rank, but the first, wrote to stderr; "" if it wrote none."""
    for path in folder.glob(f"logs/**/{rank}/stderr.log"):
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return ""
