"""Runs examples/kafka_loop.py, and kills it where a batch is produced and not committed: KILL_AT says which batch."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

import confluent_kafka

commits = 0


class Killed(confluent_kafka.Consumer):
    """A consumer that does not live to see a certain commit."""

    def commit(self, **given: Any) -> Any:
        global commits
        commits += 1
        if commits == int(os.environ["KILL_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().commit(**given)


confluent_kafka.Consumer = Killed  # type: ignore[misc]
spec = importlib.util.spec_from_file_location(
    "kafka_loop", Path(__file__).resolve().parents[2] / "examples" / "kafka_loop.py"
)
assert spec is not None and spec.loader is not None
module = sys.modules["kafka_loop"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.main()
