"""Follows docs/quickstart.md as a newcomer would: runs its commands in an empty folder, and times each.

    python bench/quickstart.py --work FOLDER --install

Every `sh` and `python` block of the page runs, those that the tests of the documentation leave out too. With --install
the first is the installation, from this checkout into a new environment, in which the others run; without it, they run
in this one. A block with `liteft serve` goes on beside the blocks after it, until the end. What each block
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
INSTALL = "pip install"
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.M | re.S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="a new folder, in which everything is made")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "quickstart.json")
    parser.add_argument("--install", action="store_true", help="install into a new environment first")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True)
    work = arguments.work.resolve()
    before = machine()
    python = Path(sys.executable)
    if arguments.install:
        subprocess.run([python, "-m", "venv", work / "environment"], check=True)
        python = work / "environment" / "bin" / "python"
    found = blocks(PAGE.read_text(encoding="utf-8"), install=arguments.install)
    result = {
        "command": f"python bench/quickstart.py --work FOLDER{' --install' if arguments.install else ''}",
        "steps": follow(found, work, python),
        "machine": before,
        "versions": versions(PACKAGES),
        "commit": commit(),
    }
    result["minutes"] = round(sum(step["seconds"] for step in result["steps"]) / 60, 2)
    write_result(arguments.out, result)
    return 0


def blocks(page: str, *, install: bool) -> list[tuple[str, str]]:
    """Return the language and the content of every block that a reader runs.

    Args:
        page: its text.
        install: with the installation, but from the index that pip knows.
    """
    found = [each for each in _BLOCK.findall(page) if "--index-url" not in each[1]]
    found = [each for each in found if install or INSTALL not in each[1]]
    if not found:
        raise ValueError("the page has no blocks to run")
    return found


def follow(found: list[tuple[str, str]], work: Path, python: Path) -> list[dict[str, Any]]:
    """Run the blocks in a folder, and return for each what it is, its seconds and what it printed.

    Args:
        found: language and content of each.
        work: the folder; what is installed is installed from the checkout.
        python: of the environment.

    Raises:
        RuntimeError: a block failed.
    """
    steps = []
    server = None
    bin_first = {**os.environ, "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]])}
    try:
        for language, content in found:
            tell(content.strip())
            command = [str(python), "-c", content] if language == "python" else [_shell(), "-ec", content]
            begin = time.perf_counter()
            if "liteft serve" in content:
                server, output = serve(content, work, bin_first), ""
            else:
                output = run(command, content, ROOT if INSTALL in content else work, bin_first)
            seconds = round(time.perf_counter() - begin, 1)
            tell(f"  {seconds} s")
            output = output.replace(f"{work}{os.sep}", "")
            steps.append({"language": language, "block": content, "seconds": seconds, "output": output})
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    return steps


def run(command: list[str], content: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a block in a folder and return what it printed on stdout; of an installation, nothing."""
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"this block ended with status {done.returncode}:\n{content}\n{done.stdout}")
    return "" if INSTALL in content else done.stdout


def serve(content: str, work: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a server, wait until it is ready, and return its process."""
    started = subprocess.Popen([_shell(), "-ec", f"exec {content}"], cwd=work, env=environment)
    until = time.monotonic() + 60
    while status(PORT, "/readyz") != 200:
        if started.poll() is not None or time.monotonic() > until:
            started.kill()
            raise RuntimeError(f"the server is not ready:\n{content}")
        time.sleep(0.05)
    return started


def _shell() -> str:
    found = shutil.which("bash")
    if found is None:
        raise RuntimeError("bash is not installed")
    return found


if __name__ == "__main__":
    sys.exit(main())
