"""The event loop's rest: after refusals, behind what came with them, and no longer than there is nothing to tell."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from liteft.serving import ServeSettings
from liteft.serving.queueing import JobQueue
from liteft.serving.resting import Rest
from liteft.serving.service import Service
from liteft.serving.shedding import Refusals


def test_it_sleeps_once_after_what_came_with_a_refusal_and_says_how_long() -> None:
    async def test() -> None:
        queue = JobQueue(max_queue_ms=500)
        rest, order = Rest(queue), list[str]()
        rest.soon()
        rest.soon()
        asyncio.get_running_loop().call_soon(lambda: order.append(f"slept {rest.slept > 0}"))
        await asyncio.sleep(0.005)
        assert order == ["slept False"]
        assert 0.009 < rest.slept < 0.5
        assert queue.lag == rest.slept

    asyncio.run(test())


def test_a_result_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.serving.resting._SECONDS", 20.0)

    async def test() -> None:
        rest = Rest(JobQueue(max_queue_ms=500))
        threading.Timer(0.05, rest.end).start()
        rest.soon()
        started = time.perf_counter()
        await asyncio.sleep(0.01)
        assert time.perf_counter() - started < 10
        rest.end()  # before it sleeps again: there is something to tell
        rest.soon()
        await asyncio.sleep(0.01)
        assert time.perf_counter() - started < 10

    asyncio.run(test())


def test_of_requests_that_come_at_once_no_more_are_let_through_than_fit() -> None:
    async def test() -> None:
        service = Service({}, ServeSettings(max_queue_ms=500))
        service.state = "ready"
        service.queue._queued, service.queue._usual = 0.45, 0.03
        refusals = Refusals(service)
        came = [refusals.response() for _ in range(5)]
        assert [answer is None for answer in came] == [True, True, False, False, False]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert refusals.response() is None
        assert service.rest.slept > 0

    asyncio.run(test())
