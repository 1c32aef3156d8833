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


def busy_queue() -> JobQueue:
    """A queue whose engine runs."""
    queue = JobQueue(max_queue_ms=500)
    queue._started = time.perf_counter()
    return queue


def test_it_sleeps_once_after_what_came_with_a_refusal_and_says_how_long() -> None:
    async def test() -> None:
        queue, order = busy_queue(), list[bool]()
        rest = Rest(queue)
        rest.soon()
        rest.soon()
        asyncio.get_running_loop().call_soon(lambda: order.append(rest.take_slept() > 0))
        await asyncio.sleep(0.005)
        assert order == [False]
        slept = rest.take_slept()
        assert slept > 0.009
        assert queue.lag == slept
        assert rest.take_slept() == 0

    asyncio.run(test())


def test_a_result_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.serving.resting._SECONDS", 60.0)

    async def test() -> None:
        rest = Rest(busy_queue())
        threading.Timer(0.05, rest.end).start()
        rest.soon()
        started = time.perf_counter()
        await asyncio.sleep(0.01)
        rest.end()  # before it sleeps again: there is something to tell
        rest.soon()
        await asyncio.sleep(0.01)
        assert time.perf_counter() - started < 50
        assert rest.take_slept() > 0.03

    asyncio.run(test())


def test_it_does_not_sleep_where_no_result_will_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.serving.resting._SECONDS", 60.0)

    async def test() -> None:
        rest = Rest(JobQueue(max_queue_ms=500))
        rest.soon()
        await asyncio.sleep(0.01)
        assert rest.take_slept() == 0

    asyncio.run(test())


@pytest.mark.parametrize(("refused", "sleeps"), [(32, True), (33, False)])
def test_it_does_not_sleep_where_many_came_together(refused: int, sleeps: bool) -> None:
    async def test() -> None:
        rest = Rest(busy_queue())
        for _ in range(refused):
            rest.soon()
        await asyncio.sleep(0.001)
        assert (rest.take_slept() > 0) == sleeps
        rest.soon()
        await asyncio.sleep(0.001)
        assert rest.take_slept() > 0

    asyncio.run(test())


def test_of_requests_that_come_at_once_no_more_are_let_through_than_fit() -> None:
    async def test() -> None:
        service = Service({}, ServeSettings(max_queue_ms=50_000))
        service.state = "ready"
        service.queue._queued, service.queue._mean_cost = 45.0, 3.0
        service.queue._started = time.perf_counter()
        refusals = Refusals(service)
        came = [refusals.response() for _ in range(5)]
        assert [answer is None for answer in came] == [True, True, False, False, False]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert refusals.response() is None
        assert service.rest.take_slept() > 0

    asyncio.run(test())


def test_a_late_event_loop_counts_for_each_of_its_rounds_without_its_rests() -> None:
    async def test() -> None:
        service = Service({}, ServeSettings())
        loop = asyncio.get_running_loop()
        service._tick(loop.time() - 10.0)
        assert 39 < service.queue.lag < 50
        service.rest._slept = 30.0
        service._tick(loop.time() - 10.0)
        assert service.queue.lag == 0
        service.close()

    asyncio.run(test())
