"""Follows docs/quickstart.md as a newcomer would: runs its commands in an empty folder, and times each.

    python bench/quickstart.py --work FOLDER

Every `sh` and `python` block of the page runs, those that the tests of the documentation leave out too; only the
installation is left out. A block with `liteft serve` goes on beside the blocks after it, until the end. What each block
printed is stored, and `make readme` puts it into the page.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result
from serve_process import status

PAGE = ROOT / "docs" / "quickstart.md"
PACKAGES = ("liteft", "torch", "transformers", "onnxruntime", "tokenizers", "numpy")
PORT = 8080
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.M | re.S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a new folder, in which everything is made")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "quickstart.json")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True)
    before = machine()
    result = {
        "command": "python bench/quickstart.py --work FOLDER",
        "steps": follow(blocks(PAGE.read_text(encoding="utf-8")), arguments.work.resolve()),
        "machine": before,
        "versions": versions(PACKAGES),
        "commit": commit(),
    }
    result["minutes"] = round(sum(step["seconds"] for step in result["steps"]) / 60, 2)
    write_result(arguments.out, result)
    return 0


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the content of every block that a reader runs after the installation."""
    found = [(language, content) for language, content in _BLOCK.findall(page) if "pip install" not in content]
    if not found:
        raise ValueError("the page has no blocks to run")
    return found


def follow(found: list[tuple[str, str]], work: Path) -> list[dict[str, Any]]:
    """Run the blocks in a folder, and return for each what it is, its seconds and what it printed.

    Raises:
        RuntimeError: a block failed.
    """
    steps = []
    server = None
    try:
        for language, content in found:
            tell(content.strip())
            begin = time.perf_counter()
            if "liteft serve" in content:
                server, output = serve(content, work), ""
            else:
                output = run(language, content, work)
            seconds = round(time.perf_counter() - begin, 1)
            tell(f"  {seconds} s")
            steps.append({"language": language, "block": content, "seconds": seconds, "output": output})
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    return steps


def run(language: str, content: str, work: Path) -> str:
    """Run a block and return what it printed on stdout, without the name of the folder."""
    command = [sys.executable, "-c", content] if language == "python" else [_shell(), "-ec", content]
    done = subprocess.run(command, cwd=work, env=environment(), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"this block ended with status {done.returncode}:\n{content}\n{done.stdout}")
    return done.stdout.replace(f"{work}{os.sep}", "")


def serve(content: str, work: Path) -> subprocess.Popen[bytes]:
    """Start a server, wait until it is ready, and return its process."""
    started = subprocess.Popen([_shell(), "-ec", f"exec {content}"], cwd=work, env=environment())
    until = time.monotonic() + 60
    while status(PORT, "/readyz") != 200:
        if started.poll() is not None or time.monotonic() > until:
            started.kill()
            raise RuntimeError(f"the server is not ready:\n{content}")
        time.sleep(0.05)
    return started


def environment() -> dict[str, str]:
    """Return this process's variables, with the commands of its Python first in PATH."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def _shell() -> str:
    found = shutil.which("bash")
    if found is None:
        raise RuntimeError("bash is not installed")
    return found


if __name__ == "__main__":
    sys.exit(main())
