"""What the measurements of ``liteft serve`` share: flags, the head of a result, and the classifier that all serve."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_requests import MIXES
from machine import ROOT, command_line, commit, machine, tell, versions
from peer_models import base_folder, convert
from peer_texts import SETS, open_tokenizer, read_texts
from serve_process import CLIENT_CORE, SERVER_CORE

PACKAGES = (
    "liteft",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "msgspec",
    "prometheus-client",
    "tokenizers",
    "numpy",
)
CALIBRATION_TEXTS = 75  # of each set
LITEFT = "liteft-int8"


@dataclass(frozen=True)
class Place:
    """Where a measurement finds what it needs.

    Attributes:
        models: folder of the converted models.
        logs: folder for what servers write.
        data: folder of the data sets.
        program: the program ``liteft``.
    """

    models: Path
    logs: Path
    data: Path
    program: Path

    def serve(self, port: int, *flags: str) -> list[str]:
        """Return the command of ``liteft serve`` with one thread, for the classifier of all measurements."""
        return [str(self.program), "serve", str(self.models / LITEFT), "--port", str(port), "--threads", "1", *flags]


def parser(description: str | None, out: str) -> argparse.ArgumentParser:
    """Return a parser with the flags of all these scripts; ``out`` is the name of the result."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("LITEFT_DATA", ROOT.parent / "shared" / "data"))
    found.add_argument("--data", type=Path, default=default, help="folder of the data sets")
    found.add_argument("--models", type=Path, help="folder in which converted models are kept for the next run")
    found.add_argument(
        "--program", type=Path, default=Path(sys.executable).with_name("liteft"), help="the program liteft"
    )
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / out)
    return found


def add_cells(found: argparse.ArgumentParser, mixes: Sequence[str]) -> None:
    """Add the flags that say which texts are sent, and how many of them in a request."""
    found.add_argument("--mixes", nargs="+", choices=MIXES, default=list(mixes))
    found.add_argument("--sizes", nargs="+", type=int, default=[1, 32], help="texts of a request")


@contextlib.contextmanager
def prepared(arguments: argparse.Namespace, wanted: Sequence[str] = (LITEFT,)) -> Iterator[Place]:
    """Convert the classifier for those who serve it, and yield where everything is."""
    with tempfile.TemporaryDirectory() as temporary:
        models = (arguments.models or Path(temporary) / "models").resolve()
        if missing := [name for name in ("checkpoint", *wanted) if not (models / name).exists()]:
            texts = [text for name in SETS for text in read_texts(arguments.data, name, CALIBRATION_TEXTS)]
            outcomes = convert(models, missing, texts, _feeds(texts))
            if failed := {name: why for name, why in outcomes.items() if not (models / name).exists()}:
                raise SystemExit(f"the classifier could not be converted: {failed}")
        logs = Path(temporary) / "logs"
        logs.mkdir()
        yield Place(models, logs, arguments.data, arguments.program)


def head(script: str, packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Return what each result begins with: command, machine, versions and commit."""
    found = machine()
    if found["load"] is not None and found["load"] > 0.5:
        tell(f"the machine is busy: a load of {found['load']} before the start")
    return {
        "command": command_line(f"bench/{script}"),
        "machine": found,
        "versions": versions(packages),
        "commit": commit(),
        "model": "sentence-transformers/all-MiniLM-L6-v2, [CLS] pooler, untrained classifier of 2 labels",
        "cores": {"server": SERVER_CORE, "client": CLIENT_CORE, "threads": 1},
    }


def _feeds(texts: Sequence[str]) -> list[dict[str, Any]]:
    from peer_contestants import rectangle

    tokenizer = open_tokenizer(base_folder() / "tokenizer.json")
    return [rectangle([tokenizer.encode(text).ids]) for text in texts]
