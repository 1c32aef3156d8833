"""Tries an installed LiteFT: loads an artifact in an engine and compares its logits with those that are expected.

    python smoke.py ARTIFACT EXPECTED.json native

It runs in the environment that is tried, and needs nothing but LiteFT there. EXPECTED.json has texts, their labels and
logits, and how far apart logits may be.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

import liteft


def main() -> int:
    """Return 0 if the logits are close, labels equal, and version and metadata agree."""
    artifact, expected, backend = sys.argv[1:]
    known = json.loads(Path(expected).read_text(encoding="utf-8"))
    with liteft.load(artifact, backend=backend, device="cpu") as classifier:
        logits = classifier.logits(known["texts"])
        labels = [found.label for found in classifier.predict(known["texts"])]
        counted = f"{classifier.backend}, {classifier.precision}, {platform.machine()}"
    apart = float(np.abs(logits - np.array(known["logits"])).max())
    print(f"liteft {liteft.__version__}: {len(labels)} texts, {counted}; logits at most {apart:.1e} apart")
    if liteft.__version__ != metadata.version("liteft") or "torch" in sys.modules:
        print("the version differs from the installed one, or torch was imported")
        return 1
    return int(apart > known["apart"] or labels != known["labels"])


if __name__ == "__main__":
    raise SystemExit(main())
