"""No verb opens a connection or asks for an address where no hub name, URL or logger is given."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import typer

from liteft.cli import app
from tests.modules import module_of

ROOT = Path(__file__).parents[2]
HOOK = """
import os, sys

ASKED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")

def noted(event, arguments):
    if event in ASKED:
        told = arguments[1:] if event in ("socket.connect", "socket.bind", "socket.sendto") else arguments
        with open(os.environ["NOTED_EVENTS"], "a") as file:
            file.write(repr((event, told)) + "\\n")

sys.addaudithook(noted)
"""
ASKING = """
import subprocess, sys

code = "import socket; socket.getaddrinfo('localhost', 9)"
subprocess.run([sys.executable, "-c", code])
"""
QUICK = "--epochs 2 --batch-size 16 --learning-rate 2e-3 --training-precision fp32"
VERBS = [
    "check data",
    "advise data --base base",
    "finetune --data data --base base --max-tokens 32 {quick} --out teacher",
    "distill --data data --teacher teacher --size 1 {quick} --unlabeled pool.txt --out run",
    "search --data data --teacher teacher --size 1 --max-mb 5 {quick} --out found",
    "export teacher --data data --precision fp32 --out artifact",
    "predict artifact one two",
    "predict artifact --input pool.txt --output scored.csv",
    "score artifact pool.txt --out parts --workers 1",
    "compare teacher artifact --on data",
    "inspect artifact",
    "pretrain --texts pool.txt --size 1x32 --vocabulary 300 --max-tokens 16 --set pretrain.max_steps=2 --out plain",
    "doctor",
]
OTHERS = {"serve", "demo"}  # serve is tried below; demo is distill and compare on bundled data


def environment(folder: Path) -> dict[str, str]:
    (folder / "hook").mkdir(exist_ok=True)
    (folder / "hook" / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    path = os.pathsep.join([str(folder / "hook"), str(ROOT)])
    return os.environ | {"PYTHONPATH": path, "NOTED_EVENTS": str(folder / "events"), "HF_HUB_OFFLINE": "0"}


def events(folder: Path) -> list[str]:
    path = folder / "events"
    return path.read_text("utf-8").splitlines() if path.exists() else []


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a base, data and a pool."""
    tiny = module_of("finetuning")
    tiny.write_base(tmp_path / "base", "bert", num_hidden_layers=2)
    (tmp_path / "data").mkdir()
    for name, count in (("train", 60), ("dev", 30), ("test", 30)):
        texts, gold = tiny.make_texts(count, seed=count)
        lines = [
            json.dumps({"text": text, "label": tiny.LABELS[label]}) for text, label in zip(texts, gold, strict=True)
        ]
        (tmp_path / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "pool.txt").write_text("\n".join(tiny.make_texts(40, seed=5)[0]) + "\n", encoding="utf-8")
    return tmp_path


def test_the_hook_sees_what_any_process_asks_for(tmp_path: Path) -> None:
    run(tmp_path, "-c", ASKING)
    assert any("getaddrinfo" in event for event in events(tmp_path))


@pytest.mark.slow
def test_every_verb_works_on_local_files_without_a_socket(folder: Path) -> None:
    covered = {line.split()[0] for line in VERBS}
    assert covered | OTHERS == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for line in VERBS:
        done = run(folder, "-m", "liteft.cli", *line.format(quick=QUICK).split())
        assert done.returncode == 0, (line, done.stderr)
        assert events(folder) == [], line


@pytest.mark.slow
def test_a_server_listens_on_what_it_was_told_and_asks_nobody(folder: Path) -> None:
    pytest.importorskip("uvicorn", reason="serving needs the extra 'serve'")
    artifact = module_of("runtime", "tiny.py").write_artifact(folder / "artifact")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "liteft.cli", "serve", str(artifact.path), "--port", str(port), "--drain-delay", "0"]
    with subprocess.Popen(words, cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True) as server:
        try:
            answer = asked(f"http://127.0.0.1:{port}/health", server)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
    assert answer == 200
    listened = [event for event in events(folder) if "socket.bind" in event]
    assert all(f"('127.0.0.1', {port})" in event for event in listened)
    assert [event for event in events(folder) if event not in listened and "127.0.0.1" not in event] == []


def asked(url: str, server: subprocess.Popen[str]) -> int:
    """Return the status of an answer, once the server gives one."""
    for _ in range(600):
        assert server.poll() is None, server.stderr and server.stderr.read()
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return int(response.status)
        except OSError:
            time.sleep(0.1)
    raise AssertionError("no answer within a minute")
