"""Classify the rows of a Kafka topic into another topic, at least once.

    python examples/kafka_loop.py runs/reviews/artifact --brokers localhost:9092 --source reviews --target labels

A batch is polled, classified, produced and flushed, and only then are its offsets committed. Whatever ends the process
in between, the next one gets the same rows again: none is lost, and some come twice. Each answer says where its row was
(topic/partition/offset), by which a reader can leave out what it has seen. Rows that are not JSON with a string "text"
go to a topic of their own (--refused), as they came. SIGTERM ends the loop after the batch that it is in. More
processes with the same --group share the partitions.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

import liteft


def text_of(message: Message) -> Any:
    """Return what a row has as its text; None if it has none."""
    try:
        return json.loads(message.value() or b"")["text"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def classify(messages: list[Message], classifier: liteft.Classifier, producer: Producer, given: Any) -> None:
    """Produce an answer for each row, or the row itself to the topic of refused ones, and wait until all are stored."""
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    predictions = classifier.stream(map(text_of, messages), on_error="null")  # None for what is not a text
    for message, found in zip(messages, predictions, strict=True):
        place = f"{message.topic()}/{message.partition()}/{message.offset()}"
        topic, value = given.refused, message.value()
        if found is not None:
            topic = given.target
            value = json.dumps({"from": place, "label": found.label, "score": found.score}).encode()
        producer.produce(topic, value, message.key(), on_delivery=delivered, headers={"from": place.encode()})
    if producer.flush(30) or failed:
        raise SystemExit(f"answers were not stored, so nothing is committed: {failed[:1] or 'no reply within 30 s'}")


def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact")
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--refused", default="refused")
    parser.add_argument("--group", default="liteft")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--setting", action="append", default=[], metavar="KEY=VALUE", help="of both Kafka clients")
    given = parser.parse_args()
    common = {"bootstrap.servers": given.brokers, **dict(each.split("=", 1) for each in given.setting)}
    reading = {"group.id": given.group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())

    consumer, producer = Consumer({**common, **reading}), Producer({**common, "enable.idempotence": True})
    consumer.subscribe([given.source])
    try:
        with liteft.load(given.artifact) as classifier:
            while not ended.is_set():
                messages = consumer.consume(given.batch, timeout=0.5)
                for message in messages:
                    if (error := message.error()) is not None:
                        raise KafkaException(error)
                if messages:
                    classify(messages, classifier, producer, given)
                    consumer.commit(asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
