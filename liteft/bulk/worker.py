"""A process that scores units for the engine ``local``: ``python -m liteft.bulk.worker``.

Each line of stdin is JSON: the job and its threads first, then a unit at a time. Each line of stdout is JSON: rows that
were scored, or a unit's counts or failure. When stdin ends, for instance because the driver was killed, the process
ends at once; its part has not been renamed, and does not count.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from dataclasses import asdict
from typing import Any

from liteft.bulk.job import Job, scored_blocks
from liteft.bulk.plan import Unit
from liteft.runtime.classifier import load
from liteft.runtime.scored_blocks import Counts


def main() -> None:
    """Score units until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    begin = json.loads(sys.stdin.readline())
    job = Job(**begin["job"])
    classifier = load(job.artifact, threads=begin["threads"], **job.loading)
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    answer(ready=os.getpid())
    while True:
        for result in scored_blocks(job, Unit.of(json.loads(lines.get())), classifier):
            if isinstance(result, int):
                answer(rows=result)
            elif isinstance(result, Counts):
                answer(counts=asdict(result))
            else:
                answer(failure=result.to_dict())


def _read(lines: queue.SimpleQueue[str]) -> None:
    """Pass on the lines of stdin; end the process with them."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
