"""examples/kafka_loop.py, killed and started again: the real client, at the broker that librdkafka has for tests."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")

import confluent_kafka as kafka

import liteft
from liteft.artifact import Artifact
from tests.examples.conftest import ENVIRONMENT, EXAMPLES

TEXTS = [f"the parcel {number} arrived two days late" for number in range(40)]
REFUSED = [b"no JSON", b'{"body": "no text"}', b'{"text": 5}', b"[" * 100_000, b"\xff", b'{"text": "\\ud800"}']
BATCH = 8
pytestmark = pytest.mark.slow  # a member of a group that was killed is missed for seconds


@pytest.fixture
def broker() -> Iterator[str]:
    """The address of a broker inside this process."""
    owner = kafka.Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
    (found,) = owner.list_topics(timeout=10).brokers.values()
    yield f"{found.host}:{found.port}"


@contextlib.contextmanager
def started(script: Path, artifact: Artifact, broker: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(script), str(artifact.path), "--brokers", broker, "--batch", str(BATCH)]
    command += ["--source", "asked", "--target", "answered", "--setting", "session.timeout.ms=4000"]
    with subprocess.Popen(command, env=ENVIRONMENT | environment) as process:
        try:
            yield process
        finally:
            process.kill()


def read(broker: str, topic: str, least: int, *, seconds: float = 60) -> list[Any]:
    """Return the messages of a topic, once there are so many, and those that come within a second after them."""
    settings = {"bootstrap.servers": broker, "group.id": f"reader of {topic}", "auto.offset.reset": "earliest"}
    consumer = kafka.Consumer(settings | {"enable.auto.commit": False})
    consumer.assign([kafka.TopicPartition(topic, number, kafka.OFFSET_BEGINNING) for number in range(4)])
    found: list[Any] = []
    end = time.monotonic() + seconds
    while len(found) < least and time.monotonic() < end:
        found += [message for message in consumer.consume(1000, timeout=0.2) if message.error() is None]
    found += [message for message in consumer.consume(1000, timeout=1) if message.error() is None]
    consumer.close()
    return found


def committed(broker: str) -> dict[int, int]:
    consumer = kafka.Consumer({"bootstrap.servers": broker, "group.id": "liteft"})
    places = consumer.committed([kafka.TopicPartition("asked", number) for number in range(4)], timeout=10)
    consumer.close()
    return {place.partition: max(place.offset, 0) for place in places}


def test_no_row_is_lost_and_only_those_of_the_killed_batch_come_twice(broker: str, artifact: Artifact) -> None:
    producer = kafka.Producer({"bootstrap.servers": broker})
    for number, value in enumerate([*(json.dumps({"text": text}).encode() for text in TEXTS), *REFUSED]):
        producer.produce("asked", value, str(number), partition=number % 4)
    assert producer.flush(20) == 0

    with started(Path(__file__).with_name("kafka_killed.py"), artifact, broker, KILL_AT="2") as killed:
        assert killed.wait(60) == -signal.SIGKILL
    before = read(broker, "answered", 1)
    kept = committed(broker)
    assert 0 < sum(kept.values()) < len(before)

    with started(EXAMPLES / "kafka_loop.py", artifact, broker) as process:
        answered = read(broker, "answered", len(before) + len(TEXTS) - sum(kept.values()))
        refused = read(broker, "refused", len(REFUSED))
        process.terminate()
        assert process.wait(30) == 0

    rows = [json.loads(message.value()) for message in answered]
    places = Counter(row["from"] for row in rows)
    twice = {place for place, count in places.items() if count == 2}
    assert len(places) == len(TEXTS) and set(places.values()) <= {1, 2}
    late = {place for place in (json.loads(each.value())["from"] for each in before) if not is_kept(place, kept)}
    assert twice == late != set()
    assert sum(committed(broker).values()) == len(TEXTS) + len(REFUSED)
    assert Counter(message.value() for message in refused).keys() == set(REFUSED)

    with liteft.load(artifact.path) as classifier:
        for message, row in zip(answered, rows, strict=True):
            expected = classifier.predict(TEXTS[int(message.key())])
            assert (row["label"], row["score"]) == (expected.label, pytest.approx(expected.score, abs=1e-6))


def is_kept(place: str, kept: dict[int, int]) -> bool:
    """Say whether a row was committed, by the place in its answer."""
    _, partition, offset = place.split("/")
    return int(offset) < kept[int(partition)]


def test_nothing_is_committed_if_an_answer_was_not_stored(
    load_example: Callable[[str], ModuleType], artifact: Artifact
) -> None:
    module = load_example("kafka_loop.py")
    unreachable = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 200}
    with liteft.load(artifact.path) as classifier, pytest.raises(SystemExit, match="nothing is committed"):
        given = module.argparse.Namespace(target="answered", refused="refused")
        module.classify([Row(b'{"text": "a"}')], classifier, kafka.Producer(unreachable), given)


class Row:
    """A message as the consumer gives it."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        return self._value

    def key(self) -> bytes:
        return b"1"

    def topic(self) -> str:
        return "asked"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0
