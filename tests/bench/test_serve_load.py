"""The load generator of bench/: its schedule, its figures, its client against a small server, and the proxy."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def arithmetic() -> ModuleType:
    return load_script("load_arithmetic")


@pytest.fixture(scope="module")
def client() -> ModuleType:
    return load_script("load_client")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 2\r\n\r\n{}"

Answer = Callable[[int, bytes], bytes | None]


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """A server that answers request n of all its connections with ``answer(n, request)``, and closes for None."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    count, lock = iter(range(1_000_000)), threading.Lock()

    def serve(opened: socket.socket) -> None:
        with opened:
            while data := opened.recv(65536):
                with lock:
                    found = answer(next(count), data)
                if found is None:
                    return
                opened.sendall(found)

    def accept() -> None:
        while True:
            try:
                opened, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(opened,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def record(arithmetic: ModuleType, rows: list[tuple[float, float, float, int, int]], **changes: Any) -> Any:
    due, sent, done, code, texts = zip(*rows, strict=True)
    late = array("d", [each - own for each, own in zip(sent, due, strict=True)])
    columns = [array("d", due), array("d", sent), array("d", done), array("h", code), late, array("i", texts)]
    columns.append(changes.pop("inside", array("d", [math.nan]) * len(rows)))
    return arithmetic.Record(*columns, **changes)


def test_a_schedule_is_fixed_by_its_seed_and_has_the_rate(arithmetic: ModuleType) -> None:
    times = arithmetic.poisson(1000, 20, 7)
    assert times == arithmetic.poisson(1000, 20, 7) != arithmetic.poisson(1000, 20, 8)
    assert abs(len(times) - 20_000) < 4 * math.sqrt(20_000)
    gaps = np.diff(np.array(times))
    assert (gaps >= 0).all() and times[-1] < 20
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # of an exponential distribution
    assert (gaps < 0.001).mean() == pytest.approx(1 - math.exp(-1), abs=0.02)


@pytest.mark.parametrize("rate, seconds", [(0, 1), (1, 0), (-1, 5)])
def test_a_schedule_without_requests_is_refused(arithmetic: ModuleType, rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        arithmetic.poisson(rate, seconds, 0)


def test_a_percentile_is_the_least_value_that_enough_values_do_not_exceed(arithmetic: ModuleType) -> None:
    values = np.arange(100.0, 0, -1)
    for share, expected in ((0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1)):
        assert arithmetic.percentile(values, share) == expected
    assert arithmetic.percentile(np.array([3.0]), 0.99) == 3
    assert math.isnan(arithmetic.percentile(np.empty(0), 0.5))


def test_latency_counts_from_when_a_request_was_due_and_goodput_what_came_in_time(arithmetic: ModuleType) -> None:
    rows = [
        (0.5, 0.5, 0.6, 200, 32),  # before what counts
        (1.0, 1.0, 1.1, 200, 32),
        (2.0, 2.5, 2.6, 200, 32),  # sent late: 600 ms
        (3.0, 3.0, 3.01, 429, 32),
        (4.0, 4.0, 5.5, 200, 32),  # accepted, but not in time
        (4.5, 4.5, 4.6, arithmetic.LOST, 32),
        (4.6, math.nan, math.nan, arithmetic.UNSENT, 32),
    ]
    found = arithmetic.summarize(record(arithmetic, rows), 5.0, settle=1.0)
    assert found["latency"]["p50_ms"] == 600 and found["latency"]["most_ms"] == 1500
    assert found["latency_of_refusals"]["p50_ms"] == 10
    assert found["codes"] == {"unsent": 1, "lost": 1, "200": 3, "429": 1}
    assert found["goodput_texts_per_second"] == 16
    assert found["accepted_requests_per_second"] == 0.75
    assert found["offered_requests_per_second"] == 1.5
    assert found["lateness"]["most_ms"] == 500
    assert "late" in found["void"]


def test_a_run_is_void_if_its_generator_was_late_more_than_one_time_in_a_hundred(arithmetic: ModuleType) -> None:
    def lateness(late: int) -> float:
        return arithmetic.latencies(np.array([0.0] * (1000 - late) + [0.0011] * late))["p99_ms"]

    assert arithmetic.void(lateness(10)) is None
    assert "1.10 ms late" in arithmetic.void(lateness(11))
    assert arithmetic.void(None) == "nothing was sent"
    assert arithmetic.void(1.0) is None


def test_the_true_wait_of_a_refusal_ends_with_the_last_answer_to_what_was_accepted_before(
    arithmetic: ModuleType,
) -> None:
    rows = [
        (0.0, 0.0, 0.4, 200, 1),
        (0.1, 0.1, 0.9, 200, 1),
        (0.2, 0.2, 0.7, 200, 1),  # sent later, answered earlier
        (0.3, 0.3, 0.31, 429, 1),
        (0.4, 0.4, 2.0, 200, 1),  # accepted after the refusal
        (3.0, 3.0, 3.01, 429, 1),
    ]
    found = record(arithmetic, rows)
    assert arithmetic.true_waits(found, [3, 5]) == pytest.approx([0.59, 0.0])
    inside = array("d", [0.3, 0.2, 0.45, math.nan, 1.5, math.nan])  # the second came into the server at 0.7
    found = record(arithmetic, rows, inside=inside)
    assert arithmetic.true_waits(found, [3, 5]) == pytest.approx([0.39, 0.0])
    alone = record(arithmetic, [(0.0, 0.0, 0.1, 429, 1)])
    assert arithmetic.true_waits(alone, [0]) == [0.0]


def test_the_rate_of_a_closed_loop_counts_until_its_last_answer(arithmetic: ModuleType) -> None:
    rows = [(0.0, 0.0, 1.0, 200, 30), (0.0, 0.0, 2.0, 200, 30), (1.0, 1.0, 2.5, 200, 40), (1.0, 1.0, 1.1, 429, 40)]
    assert arithmetic.drained_rate(record(arithmetic, rows)) == 40


@pytest.mark.parametrize(
    "head, size, stays",
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx: y", 12, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 7", 7, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close", -1, False),
        (b"HTTP/1.1 204 No Content", 0, True),
    ],
)
def test_an_answer_s_head_says_how_long_it_is(client: ModuleType, head: bytes, size: int, stays: bool) -> None:
    assert client.measure_head(head) == (size, stays)


def test_the_time_in_a_server_is_the_sum_of_its_parts(client: ModuleType) -> None:
    head = b"HTTP/1.1 200 OK\r\nserver-timing: queue;dur=10.5, tokenization;dur=0.5, inference;dur=9.0\r\nx: y;dur=4"
    assert client.read_timing(head) == pytest.approx(0.02)
    assert math.isnan(client.read_timing(b"HTTP/1.1 200 OK\r\ncontent-length: 2"))


def test_a_client_sends_what_is_due_when_it_is_due(arithmetic: ModuleType, client: ModuleType) -> None:
    seen: list[tuple[float, bytes]] = []

    def answer(number: int, data: bytes) -> bytes:
        seen.append((time.perf_counter(), data))
        return REFUSAL if number == 2 else OK

    with server(answer) as port:
        asked = client.Client(port, [b"a", b"bb"], [1, 32], connections=2)
        found = asked.open_loop(array("d", [0.0, 0.05, 0.1, 0.15, 0.2]))
        asked.close()
    assert [data for _, data in seen] == [b"a", b"bb", b"a", b"bb", b"a"]
    assert seen[-1][0] - seen[0][0] == pytest.approx(0.2, abs=0.1)
    assert list(found.code) == [200, 200, 429, 200, 200]
    assert list(found.texts) == [1, 32, 1, 32, 1]
    assert found.samples[2] == (REFUSAL[:-2], b"{}")
    assert all(sent >= due for sent, due in zip(found.sent, found.due, strict=True))


def test_requests_wait_for_a_connection_and_their_latency_counts_from_when_they_were_due(
    arithmetic: ModuleType, client: ModuleType
) -> None:
    def answer(_: int, __: bytes) -> bytes:
        time.sleep(0.05)
        return OK

    with server(answer) as port:
        asked = client.Client(port, [b"a"], [1], connections=1)
        found = asked.open_loop(array("d", [0.0, 0.0, 0.0]))
        asked.close()
    assert found.waited == 2
    waits = [done - due for done, due in zip(found.done, found.due, strict=True)]
    assert waits[1] >= 0.1 and waits[2] >= 0.15
    assert sorted(found.late)[1] < 0.04  # the server was slow, not the client


def test_a_client_notes_broken_connections_changed_answers_and_answers_that_never_come(
    arithmetic: ModuleType, client: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_CHECK_SECONDS", 0.1)
    answers = [OK, None, OK.replace(b"{}", b"[]"), b"", OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), OK]
    with server(lambda number, _: answers[number]) as port:
        asked = client.Client(port, [b"a"], [1], connections=1, compare=True, timeout=0.5)
        found = asked.open_loop(array("d", [0.0] * len(answers)))
        asked.close()
    assert list(found.code) == [200, arithmetic.LOST, 200, arithmetic.EXPIRED, 200, 200]
    assert found.changed == 1


def test_a_closed_loop_keeps_a_request_on_each_connection(arithmetic: ModuleType, client: ModuleType) -> None:
    def answer(_: int, __: bytes) -> bytes:
        time.sleep(0.01)
        return OK

    with server(answer) as port:
        asked = client.Client(port, [b"a"], [4], connections=3)
        found = asked.closed_loop(0.3, 1000)
        asked.close()
    assert 3 < len(found.due) < 100 and set(found.code) == {200} and set(found.texts) == {4}
    assert list(found.due[:3]) == pytest.approx([0, 0, 0], abs=0.02)


def test_a_client_keeps_answers_of_each_status_evenly(client: ModuleType) -> None:
    with server(lambda number, _: REFUSAL if number % 10 == 9 else OK) as port:
        asked = client.Client(port, [b"a"], [1], connections=1, most_samples=8)
        found = asked.open_loop(array("d", [0.0] * 100))
        asked.close()
    accepted = [place for place in found.samples if found.code[place] == 200]
    refused = [place for place in found.samples if found.code[place] == 429]
    assert refused == [9, 29, 49, 69, 89]  # of ten
    assert len(accepted) == 6 and max(accepted) > 80  # of ninety, every sixteenth


def test_each_dialect_has_one_answer_for_each_text() -> None:
    requests = load_script("load_requests")
    bodies = {
        "tei": [[{"label": "a", "score": 0.9}, {"label": "b", "score": 0.1}]] * 2,
        "plain": {"predictions": [{"label": "a", "score": 0.9}] * 2},
        "infinity": {"data": [[{"label": "b", "score": 0.1}, {"label": "a", "score": 0.9}]] * 2},
        "kserve": {"predictions": [1, 1]},
    }
    for name, body in bodies.items():
        dialect = requests.DIALECTS[name]
        assert [dialect.label(each) for each in dialect.answers(body)] == (
            ["LABEL_1"] * 2 if name == "kserve" else ["a"] * 2
        )
        sample = {0: (b"HTTP/1.1 200 OK\r\n\r\n", json.dumps(body).encode())}
        assert requests.wrong_answers(sample, [2], dialect) == []
        assert requests.wrong_answers(sample, [3], dialect) == [0]
    tei = requests.DIALECTS["tei"]
    assert len(tei.answers(bodies["tei"][0])) == 1  # a single text
    first, second = requests.requests_of(["x", "é", "z"], 1, tei)[:2]
    assert first.endswith(b'\r\nContent-Length: 15\r\n\r\n{"inputs": "x"}')
    assert b"Content-Length: 16\r\n" in second
    assert len(requests.requests_of(["x"] * 70, 32, tei)) == 2


def test_the_proxy_sends_nothing_again_that_has_reached_a_server(client: ModuleType) -> None:
    pytest.importorskip("uvloop")
    serve_proxy = load_script("serve_proxy")
    seen: list[bytes] = []

    def answer(_: int, data: bytes) -> bytes | None:
        if data.startswith(b"GET /readyz"):
            return OK
        seen.append(data)
        return None if len(seen) == 2 else OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")

    request = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    with server(answer) as port, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
        free.close()
        proxy = serve_proxy.Proxy(own)
        asked = client.Client(own, [request], [1], connections=1, patient=True)
        nobody = asked.open_loop(array("d", [0.0]))
        proxy.add(port)
        backend = proxy.backend(port)
        deadline = time.monotonic() + 5
        while not backend.ready and time.monotonic() < deadline:
            time.sleep(0.01)
        found = asked.open_loop(array("d", [0.0, 0.1, 0.2]))
        asked.close()
        proxy.close()
    assert list(nobody.code) == [503] and proxy.refused == 1
    assert list(found.code) == [200, 502, 200]
    assert len(seen) == 3 and (backend.answered, backend.lost, backend.held) == (2, 1, 0)


def test_memory_grows_by_what_the_last_quarter_has_over_the_second() -> None:
    serve_process = load_script("serve_process")

    class Server:
        values = iter([10.0, 90.0, 100.0, 100.0, 101.0, 102.0, 103.0, 103.0])

        def memory_mb(self) -> float:
            return next(self.values)

    watch = serve_process.Watch(Server())
    for second in range(8):
        watch(float(second))
    found = watch.summary()
    assert (found["first_mb"], found["most_mb"], found["growth_mb"]) == (10.0, 103.0, 3.0)


def test_what_a_refusal_foretells_is_compared_with_the_wait_of_what_had_been_accepted(arithmetic: ModuleType) -> None:
    head = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1"
    rows = [(0.0, 0.0, 1.5, 200, 1), (0.5, 0.5, 0.5, 429, 1), (2.0, 2.0, 2.1, 200, 1)]
    made = record(arithmetic, rows, samples={1: (head, b'{"retry_after_ms": 1000}')})
    found = load_script("serve_load").retry_after(made, 500)
    assert found["true_wait_ms"]["p50_ms"] == 1000  # of the first request, which was being computed
    assert found["projected_less_true_ms"] == {"p1": 0.0, "p50": 0.0, "p99": 0.0}
