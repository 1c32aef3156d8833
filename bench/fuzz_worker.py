"""A process that loads the artifacts named on stdin and reports the outcome of each, until one of them kills it.

usage: fuzz_worker.py BACKEND    (native, onnxruntime, inspect)
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

MOST_SECONDS = 5.0  # of processor time, so that a busy machine does not look like an endless loop
MOST_BYTES = 1 << 30
TEXTS = [
    *("", " ", "a", "Where is my parcel? It was due on 12.5.2024!", "\0", "e\u0301\u200d\ufeffﬁ"),
    "\U0001f469\u200d\U0001f680",
    *("[CLS] [SEP] [MASK] [PAD]", "مرحبا שלום", "ก็็็็็", "我的包裹还没有到", "x" * 3000, "a b " * 400, "``\t\r\n  1234567"),
]


def _memory(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def attempt(backend: str, folder: str) -> dict[str, Any]:
    """Load an artifact and predict; return the outcome, with the error if there was one."""
    import liteft
    from liteft.errors import LiteftError

    try:
        if backend == "inspect":
            str(liteft.inspect(folder))
            return {"outcome": "inspected"}
        with liteft.load(folder, backend=backend, device="cpu", threads=1) as classifier:
            paired = classifier.manifest.paired
            for text in TEXTS:
                classifier.predict((text, "a") if paired else text)
            classifier.predict([(text, text) for text in TEXTS] if paired else TEXTS)
    except LiteftError as error:
        return {"outcome": "refused", "kind": type(error).__name__, "detail": error.message[:300]}
    except BaseException as error:  # a panic of Rust is not an Exception
        import traceback

        detail = f"{type(error).__name__}: {error}"[:500]
        return {"outcome": "exception", "detail": detail, "where": traceback.format_exc()[-1500:]}
    return {"outcome": "predicted"}


def main() -> None:
    """Answer one request per line: the first one warms up, the others run within limits of time and memory."""
    backend = sys.argv[1]
    warmed = False
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS if warmed else 60.0)  # its signal ends the process
        answer = attempt(backend, json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        if not warmed:
            warmed = True
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            most = _memory("VmSize") + MOST_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
