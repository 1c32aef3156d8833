"""The queue: what is admitted, what runs together, what is taken back. Time is the jobs' own estimate."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from liteft.serving.jobs import Job
from liteft.serving.queueing import JobQueue
from liteft.serving.refusals import Refused


class FakeModel:
    """A model by its identity alone."""


@pytest.fixture
def loop() -> Any:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def job(loop: Any, model: Any, *, cost: float = 0.001, deadline: float | None = None) -> Job:
    return Job(model, model, ["a text"], 6, 3, cost, time.perf_counter(), deadline, loop.create_future())


def test_jobs_of_one_model_run_together_and_in_order(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    jobs = [job(loop, model) for _ in range(5)]
    for each in jobs:
        queue.put(each)
    batch, late = queue.take()
    assert batch == jobs and not late
    assert {each.state for each in batch} == {"running"}


def test_a_batch_ends_where_its_time_is_used_up(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    jobs = [job(loop, model, cost=0.009) for _ in range(5)]
    for each in jobs:
        queue.put(each)
    assert [queue.take()[0] for _ in range(3)] == [jobs[:2], jobs[2:4], jobs[4:]]


def test_a_job_that_is_longer_than_a_batch_runs_alone(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    long, short = job(loop, model, cost=3.0), job(loop, model)
    queue.put(long)
    queue._queued = 0.0  # as if the engine were fast: the second one is admitted behind it
    queue.put(short)
    assert queue.take()[0] == [long]
    assert queue.take()[0] == [short]


def test_the_oldest_jobs_model_goes_first_and_others_keep_their_order(loop: Any) -> None:
    queue, first, second = JobQueue(max_queue_ms=500), FakeModel(), FakeModel()
    jobs = [job(loop, model) for model in (first, second, first, second, second)]
    for each in jobs:
        queue.put(each)
    assert queue.take()[0] == [jobs[0], jobs[2]]
    assert queue.take()[0] == [jobs[1], jobs[3], jobs[4]]


def test_a_job_is_refused_once_those_before_it_take_longer_than_is_accepted(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=100), FakeModel()
    queue.put(job(loop, model, cost=0.08))
    queue.put(job(loop, model, cost=0.5))  # 80 ms are before it, so it is admitted, whole
    with pytest.raises(Refused, match="would wait 580 ms, and up to 100 ms are accepted") as refused:
        queue.put(job(loop, model))
    assert refused.value.status == 429
    assert refused.value.retry_after == 1
    assert refused.value.retry_after_ms == pytest.approx(580)


@pytest.mark.parametrize(("wait", "seconds"), [(0.2, 1), (1.6, 2), (9.2, 10), (400.0, 30)])
def test_retry_after_is_when_all_that_waits_is_computed(loop: Any, wait: float, seconds: int) -> None:
    queue, model = JobQueue(max_queue_ms=100), FakeModel()
    queue.put(job(loop, model, cost=wait))
    with pytest.raises(Refused) as refused:
        queue.refuse_if_full()
    assert refused.value.retry_after == seconds


def test_the_batch_that_runs_counts_until_it_has_ended(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=100), FakeModel()
    queue.put(job(loop, model, cost=5.0))
    queue.take()
    assert 4.5 < queue.wait() <= 5.0
    queue.finished()
    assert queue.wait() == 0.0
    assert queue.idle


def test_the_event_loops_lag_counts_as_waiting(loop: Any) -> None:
    queue = JobQueue(max_queue_ms=100)
    queue.lag = 0.03
    queue.put(job(loop, FakeModel(), cost=0.08))
    with pytest.raises(Refused, match="would wait 110 ms"):
        queue.put(job(loop, FakeModel()))


def test_an_idle_engine_gets_work_however_late_the_event_loop_is(loop: Any) -> None:
    queue = JobQueue(max_queue_ms=100)
    queue.lag = 5.0
    assert queue.wait() == pytest.approx(0.05)
    queue.put(job(loop, FakeModel()))


def test_an_idle_engine_gets_work_however_large_requests_were_before(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=100), FakeModel()
    for _ in range(5):
        queue.put(job(loop, model, cost=10.0))
        queue.take()
        queue.finished()
    for _ in range(32):
        queue.expect_one()
    assert queue.expected > 1
    assert queue.wait_if_full() is None


def test_requests_that_have_come_and_are_not_read_yet_count_as_much_as_usual(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=100_000), FakeModel()
    for _ in range(600):
        queue.put(job(loop, model, cost=0.1))
    before = queue.wait()
    queue.expect_one()
    queue.expect_one()
    assert queue.wait() - before == pytest.approx(0.2, rel=0.01)
    queue.expect_none()
    assert queue.wait() == before


def test_a_job_that_is_taken_back_frees_its_place_and_is_not_computed(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    gone, stays = job(loop, model, cost=0.3), job(loop, model, cost=0.01)
    queue.put(gone)
    queue.put(stays)
    assert queue.leave(gone)
    assert queue.queued_seconds == pytest.approx(0.01)
    assert queue.queued_tokens == 3
    assert queue.take()[0] == [stays]
    assert not queue.leave(stays)  # it runs


def test_a_job_that_is_taken_back_behind_a_long_run_is_not_kept(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    left = job(loop, model)
    queue.put(left)
    assert queue.leave(left)
    assert len(queue) == 0 and queue.queued_seconds == 0


def test_a_job_whose_time_is_over_is_not_computed(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    late, stays = job(loop, model, deadline=time.perf_counter() - 0.001), job(loop, model)
    queue.put(late)
    queue.put(stays)
    batch, expired = queue.take()
    assert batch == [stays]
    assert [(each, refused.status) for each, refused in expired] == [(late, 504)]


def test_a_closed_queue_gives_what_is_left_then_nothing_and_admits_nothing(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    left = job(loop, model)
    queue.put(left)
    queue.close()
    assert queue.take()[0] == [left]
    assert queue.take() == ([], [])
    with pytest.raises(Refused) as refused:
        queue.put(job(loop, model))
    assert refused.value.status == 503


def test_taking_waits_until_there_is_a_job(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    time.sleep(0.05)
    assert not taken
    one = job(loop, model)
    queue.put(one)
    thread.join(5)
    assert taken == [([one], [])]


def test_a_queue_whose_jobs_have_all_left_waits_for_the_next(loop: Any) -> None:
    queue, model = JobQueue(max_queue_ms=500), FakeModel()
    gone = job(loop, model)
    queue.put(gone)
    queue.leave(gone)
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    time.sleep(0.05)
    assert not taken
    stays = job(loop, model)
    queue.put(stays)
    thread.join(5)
    assert taken == [([stays], [])]
