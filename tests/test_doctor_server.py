"""``liteft doctor --serve``: against real servers, and against answers that are not what they should be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from liteft.cli import main
from liteft.doctor import Diagnosis, Finding
from liteft.doctor.server import diagnose_server
from liteft.doctor.server.asking import Answer, Server, UnreachableError
from liteft.doctor.server.samples import DIALECTS, ServedModel, same_rows, single_rows
from liteft.errors import ConfigError
from liteft.tasks import task_named
from tests.cache import Cache
from tests.runtime.tiny import write_artifact
from tests.serving.serving import running

KEY = "0123456789abcdef0123456789abcdef"
ADMIN = "fedcba9876543210fedcba9876543210"
SCORES = {"labels": ("score",), "task": "scores", "activation": "sigmoid", "paired": True}
QUICK = ("--threads", "1", "--drain-delay", "0")


@pytest.fixture(scope="session", autouse=True)
def direct() -> Iterator[None]:
    """No proxy of this machine stands between the tests and 127.0.0.1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        yield


@pytest.fixture(scope="session")
def artifacts(cache: Cache) -> Path:
    def write(folder: Path) -> None:
        write_artifact(folder / "tickets")
        write_artifact(folder / "tags", labels=tuple("abcdef"), multi=True)
        write_artifact(folder / "pairs", labels=("same", "different"), paired=True)
        write_artifact(folder / "ranks", **SCORES)

    return cache("doctored", write)


@pytest.fixture(scope="session")
def several(artifacts: Path) -> Iterator[str]:
    """The URL of a server of four models that lets everybody in."""
    with running([artifacts / name for name in ("tickets", "tags", "pairs", "ranks")], *QUICK) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="session")
def guarded(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of one model that asks for keys, with its metrics elsewhere."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys").write_text(KEY + "\n", encoding="utf-8")
    (folder / "admin").write_text(ADMIN + "\n", encoding="utf-8")
    flags = ["--api-keys", str(folder / "keys"), "--admin-keys", str(folder / "admin"), "--metrics-port", "0"]
    with running([f"tickets={artifacts}/tickets"], *flags, *QUICK) as server:
        yield f"http://127.0.0.1:{server.port}"


def by_name(diagnosis: Diagnosis) -> dict[str, Finding]:
    return {finding.name: finding for finding in diagnosis.findings}


def test_a_server_that_is_well_has_no_problem(several: str) -> None:
    diagnosis = diagnose_server(several)
    assert (diagnosis.problems, diagnosis.exit_status) == ((), 0)
    found = by_name(diagnosis)
    assert "4 labels" in found["model tickets"].detail and "1 label;" in found["model ranks"].detail
    assert "max_texts 1,024" in found["limits"].detail
    assert found["keys"].status == "off" and "--api-keys" in found["keys"].fix[0]
    assert found["reload"].detail == "is off over HTTP (403)"
    assert found["metrics"].status == "ok"
    assert "1,025 texts" in found["refusals"].detail
    assert all(f"{part} " in found["headers"].detail for part in ("queue", "tokenization", "inference"))


@pytest.mark.parametrize(
    ("model", "alike", "refused"),
    [
        ("tickets", {"/classify", "/v1/classify"}, {"/rerank"}),
        ("tags", {"/classify", "/v1/classify"}, {"/rerank"}),
        ("pairs", set(), {"/classify", "/v1/classify", "/rerank"}),
        ("ranks", {"/rerank"}, {"/classify", "/v1/classify"}),
    ],
)
def test_every_dialect_is_asked_or_must_refuse(several: str, model: str, alike: set[str], refused: set[str]) -> None:
    detail = by_name(diagnose_server(several))[f"dialects of {model}"].detail
    same, _, not_asked = detail.partition("; refused")
    named = {dialect.path for dialect in DIALECTS}
    refused |= {f"/models/{{model}}{path}" for path in refused} & named
    assert set(same.removeprefix("the same from ").split(", ")) == (named - refused) and alike <= named - refused
    assert set(not_asked.partition(": ")[2].split(", ")) == refused


def test_with_its_key_a_guarded_server_is_well(guarded: str) -> None:
    diagnosis = diagnose_server(guarded, key=KEY)
    assert diagnosis.problems == ()
    found = by_name(diagnosis)
    assert found["keys"].status == "ok" and "401" in found["keys"].detail
    assert found["reload"].detail == "needs a key of its own (401)"
    assert found["metrics"].status == "off" and "--metrics-port" in found["metrics"].detail
    assert "/vertex" in found["dialects of tickets"].detail.partition("; refused")[0]


@pytest.mark.parametrize("key", [None, "a-key-of-another-server"])
def test_without_its_key_a_server_cannot_be_checked(guarded: str, key: str | None) -> None:
    *_, last = diagnose_server(guarded, key=key).findings
    assert (last.name, last.status) == ("keys", "problem")
    assert last.fix == (f"liteft doctor --serve {guarded} --key KEY",)


# Answers that are not what they should be


def changed(answer: Answer, change: Callable[[Any], Any]) -> Answer:
    content = answer.content
    return replace(answer, body=json.dumps(change(content) or content).encode())


def other_scores(answer: Answer) -> Answer:
    def change(content: Any) -> None:
        probs = content["data"][0]["probs"]
        probs[0], probs[1] = probs[1], probs[0]

    return changed(answer, change) if answer.status == 200 else answer


def without(*names: str) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, headers={k: v for k, v in answer.headers.items() if k not in names})


def with_status(status: int, body: bytes | None = None) -> Callable[[Answer], Answer]:
    return lambda answer: replace(answer, status=status, body=answer.body if body is None else body)


def other_revision(answer: Answer) -> Answer:
    return replace(answer, headers=answer.headers | {"x-model-revision": "0" * 16})


def without_a_metric(answer: Answer) -> Answer:
    return replace(answer, body=answer.body.replace(b"liteft_queue_seconds", b"liteft_waiting_seconds"))


def accepted(answer: Answer) -> Answer:
    return replace(answer, status=200) if answer.status == 422 else answer


def more_routes(answer: Answer) -> Answer:
    return changed(answer, lambda content: content["paths"].update({"/v9/ask": {"post": {}}, "/v9": {"get": {}}}))


def in_company(answer: Answer) -> Answer:
    """Change the second of two answers, as padding or a mixed-up batch would."""

    def change(content: Any) -> None:
        if isinstance(content[0], list):
            content[1][0]["score"], content[1][1]["score"] = content[1][1]["score"], content[1][0]["score"]

    return changed(answer, change) if answer.status == 200 else answer


LOADING = b'{"ready": false, "state": "loading"}'
CASES: list[tuple[str, Callable[[Answer], Answer], str, str, str]] = [
    ("/classify", other_scores, "dialects of tickets", "problem", "/classify gives"),
    ("/pipeline", with_status(500, b'{"error": "x"}'), "dialects of tickets", "problem", "/pipeline answers 500: x"),
    ("/vertex", with_status(200, b"[]"), "dialects of tickets", "problem", "in a form of its own"),
    ("/rerank", with_status(200), "dialects of tickets", "problem", "/rerank answers 200, 422 was expected"),
    ("/predict", in_company, "company in tickets", "problem", "alone"),
    ("/predict", without("server-timing", "traceparent"), "headers", "off", "Server-Timing with queue"),
    ("/predict", other_revision, "revision", "problem", "servers differ"),
    ("/predict", accepted, "refusals", "problem", "a number as a text is answered with 200, 422 was expected"),
    ("/no-such-path", with_status(404, b"<html>"), "refusals", "problem", "without a text"),
    ("/admin/reload", with_status(404), "reload", "problem", "open to everybody"),
    ("/admin/reload", with_status(502), "reload", "off", "a proxy"),
    ("/metrics", without_a_metric, "metrics", "problem", "lacks liteft_queue_seconds_bucket"),
    ("/metrics", with_status(404), "metrics", "off", "--metrics-port"),
    ("/openapi.json", more_routes, "routes", "problem", "/v9 404"),
    ("/openapi.json", more_routes, "POST /v9/ask", "off", "was not checked"),
    ("/readyz", with_status(503, LOADING), "probes", "problem", "the models are being loaded"),
    ("/livez", with_status(503), "probes", "problem", "the engine hangs"),
    ("/livez", with_status(200, b"ok"), "server", "problem", "another program"),
    ("/ping", with_status(404), "probes", "off", "/ping 404"),
    ("/info", with_status(200, b"{}"), "models", "problem", "without models"),
]


@pytest.fixture(scope="session")
def single(artifacts: Path) -> Iterator[str]:
    """The URL of a server of one model that lets everybody in."""
    with running([f"tickets={artifacts}/tickets"], *QUICK) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("path", "change", "name", "status", "words"), CASES, ids=[f"{case[0]} {case[4]}" for case in CASES]
)
def test_what_is_wrong_is_found(
    single: str,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    change: Callable[[Answer], Answer],
    name: str,
    status: str,
    words: str,
) -> None:
    ask = Server.ask

    def meddle(server: Server, method: str, asked: str, *arguments: Any, **named: Any) -> Answer:
        answer = ask(server, method, asked, *arguments, **named)
        return change(answer) if asked == path else answer

    monkeypatch.setattr(Server, "ask", meddle)
    found = by_name(diagnose_server(single))[name]
    assert found.status == status and words in found.detail


def test_a_server_whose_keys_are_not_looked_at_is_a_problem(single: str) -> None:
    found = by_name(diagnose_server(single, key=KEY))["keys"]
    assert found.status == "problem" and "without a key it answers 200" in found.detail


# Servers that cannot be asked


def test_a_server_that_nobody_runs_is_a_problem_with_commands() -> None:
    (found,) = diagnose_server("http://127.0.0.1:1").findings
    assert (found.name, found.status) == ("server", "problem")
    assert "refused" in found.detail and found.fix[0] == "curl -i http://127.0.0.1:1/livez"


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost", "file:///etc/passwd", "http://", ""])
def test_what_is_not_a_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is not the URL of a server") as caught:
        Server(url)
    assert "liteft doctor --serve http" in str(caught.value)


def test_a_full_queue_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Answer(429, {}, b'{"retry_after_ms": 1}', 0.0), Answer(429, {}, b"", 0.0), Answer(200, {}, b"1", 0.0)]
    pauses: list[float] = []
    monkeypatch.setattr("liteft.doctor.server.asking.time.sleep", pauses.append)
    monkeypatch.setattr(Server, "_answer", lambda *_: answers.pop(0))
    assert Server("http://x").ask("POST", "/predict", {}).status == 200
    assert pauses == [0.001, 1.0]


def test_a_connection_that_ends_early_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("http://x")
    monkeypatch.setattr(server._opener, "open", lambda *_, **__: (_ for _ in ()).throw(ConnectionResetError("reset")))
    with pytest.raises(UnreachableError, match="reset"):
        server.ask("GET", "/livez")


# Answers of models of words, questions and scores, as servers give them

WORDS = ServedModel("s", task_named("tokens"), ("O", "B-artist"), ("text",), "r")
ANSWERS = ServedModel("q", task_named("answers"), ("none", "answer"), ("question", "context"), "r")
SPAN = {"entity_group": "artist", "score": 0.5, "word": "Miles", "start": 13, "end": 18}
FOUND = {"answer": "on Monday", "score": 0.25, "start": 3, "end": 12}


@pytest.mark.parametrize(
    ("model", "single", "instances", "tensors", "rows"),
    [
        (WORDS, [SPAN], {"spans": [SPAN]}, {"spans": json.dumps([SPAN])}, [("artist 13:18", 0.5)]),
        (WORDS, [], {"spans": []}, {"spans": "[]"}, []),
        (ANSWERS, FOUND, FOUND, FOUND, [("on Monday 3:12", 0.25)]),
        (
            ANSWERS,
            {"answer": "", "score": 0.75, "start": 0, "end": 0},
            {"answer": None, "score": 0.75, "start": None, "end": None},
            {"answer": "", "score": 0.75, "start": -1, "end": -1},
            [("no answer", 0.75)],
        ),
    ],
)
def test_spans_and_answers_of_all_dialects_become_the_same_rows(
    model: ServedModel, single: Any, instances: Any, tensors: dict[str, Any], rows: Any
) -> None:
    dialects = {dialect.path: dialect for dialect in DIALECTS}
    outputs = {"outputs": [{"name": name, "data": [value]} for name, value in tensors.items()]}
    assert single_rows(single, model) == rows
    assert dialects["/predict"].rows([single], model) == [rows]
    assert dialects["/v1/models/{model}:predict"].rows({"predictions": [instances]}, model) == [rows]
    assert dialects["/v2/models/{model}/infer"].rows(outputs, model) == [rows]


def test_rows_differ_by_what_was_found_and_by_more_than_the_last_digits() -> None:
    assert same_rows([[("a", 0.57044125)]], [[("a", 0.5704412460327148)]])
    assert not same_rows([[("a", 0.5)]], [[("a", 0.50001)]])
    assert not same_rows([[("a", 0.5)]], [[("b", 0.5)]])
    assert not same_rows([[("a", 0.5)]], [[]])


# The command


def test_the_command_prints_findings_and_ends_with_their_status(single: str, capsys: Any) -> None:
    assert main(["doctor", "--serve", single]) == 0
    assert "0 problems, " in capsys.readouterr().out
    assert main(["doctor", "--serve", "http://127.0.0.1:1", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == 1 and document["next"] is None
    assert main(["doctor", "--serve", "nowhere"]) == 2
    assert "try: liteft doctor --serve http://nowhere" in capsys.readouterr().err


def test_the_key_may_be_in_the_environment(guarded: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("LITEFT_KEY", KEY)
    assert main(["doctor", "--serve", guarded]) == 0
    assert KEY not in capsys.readouterr().out


def test_a_server_is_checked_without_the_extra_serve() -> None:
    code = (
        "import sys; from liteft.cli import main; main(['doctor', '--serve', 'http://127.0.0.1:1', '-q']);"
        "print(sorted({'starlette', 'msgspec', 'torch', 'liteft.serving'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
