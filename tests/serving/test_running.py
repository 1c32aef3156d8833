"""A whole server in a process: how it starts, reloads, and ends, and what it says then."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from liteft.cli import main
from liteft.errors import ConfigError
from liteft.serving import running as running_module
from tests.cache import Cache
from tests.runtime.tiny import graph, write_artifact
from tests.serving.serving import ROOT, Server, running

QUICK = ("--drain-delay", "0.3", "--threads", "1")


@pytest.fixture(scope="session")
def artifact(cache: Cache) -> Path:
    return cache("served", lambda folder: write_artifact(folder / "artifact")) / "artifact"


def steady(server: Server, stop: threading.Event, found: list[Any]) -> None:
    """Ask over one kept connection after the other, as a proxy does that follows ``Connection: close``."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    while not stop.is_set():
        try:
            connection.request("POST", "/predict", json.dumps({"inputs": "the parcel is late"}))
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            found.append(error)
            connection.close()
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            continue
        found.append(response.status)
        if response.getheader("connection") == "close":
            connection.close()
            if stop.is_set():
                return
    connection.close()


def test_a_server_answers_and_ends_on_sigterm_with_status_0(artifact: Path) -> None:
    with running([f"tickets={artifact}"], *QUICK) as server:
        status, labels, headers = server.predict("the parcel is late")
        assert status == 200
        assert {each["label"] for each in labels} == {"order", "payment", "app", "praise"}
        assert headers["server-timing"].startswith("queue;dur=")
        assert int(headers["x-compute-tokens"]) == 7  # a piece for each word, two for one of them, and the special ones
        server.signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_after_sigterm_it_is_unready_and_serves_on_until_the_delay_is_over(artifact: Path) -> None:
    with running([artifact], "--drain-delay", "1.5", "--threads", "1") as server:
        server.signal(signal.SIGTERM)
        server.wait_for_line("ending")
        assert server.ask("GET", "/readyz")[0] == 503
        assert server.ask("GET", "/v2/health/ready")[0] == 503
        assert server.ask("GET", "/livez")[0] == 200
        status, _, headers = server.predict("the parcel is late")
        assert (status, headers["connection"]) == (200, "close")
        assert server.process.wait(20) == 0


def test_no_request_is_lost_while_a_server_ends(artifact: Path) -> None:
    with running([artifact], "--drain-delay", "0.5", "--threads", "1") as server:
        stop, found = threading.Event(), []
        asking = [threading.Thread(target=steady, args=(server, stop, found)) for _ in range(4)]
        for thread in asking:
            thread.start()
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        server.wait_for_line("ending")
        time.sleep(0.3)  # a proxy sees that it is unready, and sends no more
        stop.set()
        for thread in asking:
            thread.join(20)
        assert server.process.wait(20) == 0
        assert set(found) == {200}
        assert len(found) > 20


SLOW = """
import sys, time
from liteft.serving import ServeSettings, models, serve
models.load_artifact = lambda *_: time.sleep(60)
serve(sys.argv[1:], settings=ServeSettings(port=0), tell=print)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_while_it_loads_does_not_wait_for_that(artifact: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(artifact)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        wait_until_caught(process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def wait_until_caught(pid: int, number: int, seconds: float = 30) -> None:
    """Wait until a process has a handler for a signal."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.01)
    raise AssertionError(f"the process {pid} does not handle signal {number}")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1_000_000,
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000,
    ],
    ids=["a head without an end", "requests whose answers are not read"],
)
def test_a_connection_that_sends_too_much_unanswered_is_closed(artifact: Path, sent: bytes) -> None:
    with running([artifact], *QUICK) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as opened:
            answers = 0
            with contextlib.suppress(ConnectionError):  # what was not read is reset
                opened.sendall(sent)
                while part := opened.recv(65536):  # a TimeoutError if it stays open
                    answers += part.count(b"HTTP/1.1 200")
        assert answers < 20_000
        assert server.predict("a text")[0] == 200


def test_a_second_signal_ends_it_at_once(artifact: Path) -> None:
    with running([artifact], "--drain-delay", "60", "--threads", "1") as server:
        server.signal(signal.SIGTERM)
        server.wait_for_line("ending")
        server.signal(signal.SIGTERM)
        assert server.process.wait(10) == 128 + signal.SIGTERM


def test_sighup_loads_the_artifact_again_and_no_request_fails(artifact: Path, tmp_path: Path) -> None:
    own = tmp_path / "artifact"
    shutil.copytree(artifact, own)
    with running([own], *QUICK) as server:
        stop, found = threading.Event(), []
        asking = threading.Thread(target=steady, args=(server, stop, found))
        asking.start()
        before = server.predict("the parcel is late")
        shutil.rmtree(own)
        write_artifact(own, model=graph(4, seed=7))
        server.signal(signal.SIGHUP)
        server.wait_for_line("was loaded again")
        after = server.predict("the parcel is late")
        stop.set()
        asking.join(20)
        assert set(found) == {200}
        assert before[2]["x-model-revision"] != after[2]["x-model-revision"]
        assert before[1] != after[1]


def test_a_broken_artifact_is_refused_at_a_reload_and_the_old_one_answers_on(artifact: Path, tmp_path: Path) -> None:
    own, keys = tmp_path / "artifact", tmp_path / "keys"
    shutil.copytree(artifact, own)
    keys.write_text("# operators\n0123456789abcdef\n")
    with running([own], *QUICK, "--admin-keys", str(keys)) as server:
        revision = server.predict("a text")[2]["x-model-revision"]
        content = (own / "model.onnx").read_bytes()
        (own / "model.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        admin = {"X-API-Key": "0123456789abcdef"}
        status, body, _ = server.ask("POST", "/admin/reload", {}, admin)
        assert status == 409
        assert "goes on with what was loaded before" in body["error"]
        assert server.predict("a text")[2]["x-model-revision"] == revision
        (own / "model.onnx").write_bytes(content)
        status, body, _ = server.ask("POST", "/admin/reload", {}, admin)
        assert (status, body["reloaded"][tmp_path.name]["revision"]) == (200, revision)
        assert server.ask("POST", "/admin/reload", {})[0] == 401
        assert server.ask("POST", "/admin/reload", {}, {"Authorization": "Bearer 0123456789abcdeX"})[0] == 401


def test_an_artifact_that_cannot_be_loaded_ends_the_server_with_its_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "liteft.cli", "serve", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("ArtifactError:")
    assert "Traceback" not in done.stderr


def test_the_port_of_metrics_is_told_where_any_free_one_was_asked(artifact: Path) -> None:
    with running([artifact], *QUICK, "--metrics-port", "0") as server:
        address = server.wait_for_line("metrics on ").removeprefix("metrics on ")
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert b"liteft_ready 1.0" in answer.read()
        assert server.ask("GET", "/metrics")[0] == 404


@pytest.mark.parametrize("value, expected", [("", False), ("0", False), ("false", False), ("1", True), ("True", True)])
def test_trust_is_what_its_variable_says(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("liteft.serving.serve", lambda *_, **named: given.update(named))
    monkeypatch.setenv("LITEFT_TRUST", value)
    assert main(["serve", "runs/reviews"]) == 0
    assert given["trust"] is expected


def test_trust_of_another_word_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LITEFT_TRUST", "maybe")
    assert main(["serve", "runs/reviews"]) == 2
    assert "LITEFT_TRUST is 'maybe'" in capsys.readouterr().err


def test_flags_are_environment_variables_too(artifact: Path) -> None:
    with running([], LITEFT_ARTIFACTS=f"a={artifact},b={artifact}", LITEFT_MAX_TEXTS="2", LITEFT_THREADS="1") as server:
        status, info, _ = server.ask("GET", "/info")
        assert status == 200
        assert list(info["models"]) == ["a", "b"]
        assert info["limits"]["max_texts"] == 2
        body = {"inputs": [["one"], ["two"], ["three"]], "model": "a"}
        status, refused, _ = server.ask("POST", "/predict", body)
        assert status == 413
        assert refused["error"] == "the request has 3 texts, and up to 2 are accepted (max_texts)"


def test_texts_and_keys_are_never_logged(artifact: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("the-secret-key-of-a-user\n")
    with running([artifact], *QUICK, "--api-keys", str(keys), "--log-requests") as server:
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        headers = {"Authorization": "Bearer the-secret-key-of-a-user", "traceparent": trace}
        status, _, answered = server.ask("POST", "/predict", {"inputs": "zanzibar"}, headers)
        assert (status, answered["traceparent"]) == (200, trace)
        assert server.ask("POST", "/predict", {"inputs": "zanzibar"}, {"X-API-Key": "a-wrong-secret-key"})[0] == 401
        server.wait_for_line("401")
        server.signal(signal.SIGTERM)
        server.process.wait(20)
    lines = [json.loads(line) for line in server.lines if line.startswith("{")]
    assert [line["status"] for line in lines] == [200, 401]
    assert lines[0]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert lines[0]["texts"] == 1
    assert "zanzibar" not in "".join(server.lines)
    assert "secret" not in "".join(server.lines)


def test_metrics_can_have_a_port_of_their_own(artifact: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running([artifact], *QUICK, "--metrics-port", str(port), "--metrics-names", "tei") as server:
        server.predict("a text")
        assert server.ask("GET", "/metrics")[0] == 404
        status, text, _ = Server(server.process, port).ask("GET", "/metrics")
        assert status == 200
        assert b'liteft_requests_total{code="200",dialect="predict"' in text
        assert b'te_request_success{method="predict"} 1.0' in text


def test_a_taken_port_is_an_error_that_names_another(artifact: Path) -> None:
    import subprocess
    import sys

    with running([artifact], *QUICK) as server:
        command = [sys.executable, "-m", "liteft.cli", "serve", str(artifact), "--port", str(server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert f"127.0.0.1:{server.port} cannot be listened on" in done.stderr
        assert f"--port {server.port + 1}" in done.stderr


def test_an_address_of_another_machine_is_an_error_about_the_host_and_not_the_port() -> None:
    refused = pytest.raises(ConfigError, match=r"192\.0\.2\.1:8080 cannot be listened on")
    with refused as caught, running_module._listening("192.0.2.1", 8080):
        raise AssertionError("an address of a documentation network was listened on")
    assert "127.0.0.1" in str(caught.value.fix)
    assert "8081" not in str(caught.value)


def test_garbage_is_collected_as_before_once_a_server_has_ended() -> None:
    before = gc.get_threshold()
    with running_module._collecting_seldom():
        assert gc.get_threshold()[0] == 50_000
        gc.freeze()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
