"""Makes the table of what tests take from pytest's JUnit file: ``python -m tests.durations JUNIT.xml TABLE.json``."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

SLOWEST = 60


def table(report: Path) -> dict[str, Any]:
    """Return seconds for each file and for the slowest tests, set-up included, the longest first."""
    files: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        seconds = float(case.attrib["time"])
        files[case.attrib["file"]] += seconds
        tests[f"{case.attrib['file']}::{case.attrib['name']}"] += seconds
    return {
        "command": "make durations",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": round(sum(files.values()), 1),
        "tests": len(tests),
        "files": {name: round(seconds, 1) for name, seconds in files.most_common()},
        "slowest": {name: round(seconds, 1) for name, seconds in tests.most_common(SLOWEST)},
    }


if __name__ == "__main__":
    report, written = (Path(name) for name in sys.argv[1:])
    written.write_text(json.dumps(table(report), indent=2) + "\n", encoding="utf-8")
