#!/usr/bin/env python3
"""A Kafka client for the tests: counts what is in a topic by id, and tries what a user may and may not do.

    client.py count CONFIG TOPIC FROM-TO...  reads the whole topic; exit 1 unless every id of these numbers is there
    client.py newest CONFIG TOPIC ID         exit 1 unless this id is there
    client.py write|read|login CONFIG TOPIC  tries it once; prints "ok", or the name of Kafka's error and exits with 1
    client.py join CONFIG TOPIC GROUP        the same, with a consumer group

CONFIG is a file of librdkafka's settings. It is not kcat: Debian 12's has librdkafka 2.0.2, whose SCRAM the brokers of
Kafka 4 refuse (confluentinc/librdkafka#4895, mended in 2.6.1).
"""

import collections
import json
import sys
import time

import confluent_kafka as kafka

PATIENCE_SECONDS = 60


class Refused(Exception):
    """Kafka's answer was an error; the text is its name."""


class Errors:
    """Remembers the errors that the client tells of besides those of a request."""

    def __init__(self):
        self.name = None

    def __call__(self, error):
        if error.code() == kafka.KafkaError._AUTHENTICATION:
            self.name = error.name()


def settings(file, **more):
    """The settings of a file."""
    with open(file, encoding="utf-8") as lines:
        return dict(line.strip().split("=", 1) for line in lines if line.strip()) | more


def values(config, topic):
    """Every record that the topic has now."""
    consumer = kafka.Consumer(settings(config, **{"group.id": "unused", "enable.auto.commit": False}))
    partitions = consumer.list_topics(topic, PATIENCE_SECONDS).topics[topic].partitions
    places = [kafka.TopicPartition(topic, number) for number in partitions]
    marks = [consumer.get_watermark_offsets(place, PATIENCE_SECONDS) for place in places]
    left = sum(high - low for low, high in marks)
    for place, (low, _) in zip(places, marks):
        place.offset = low
    consumer.assign(places)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left > 0:
        if time.monotonic() > deadline:
            sys.exit(f"{left} records of {topic} did not come")
        for record in consumer.consume(1000, 1):
            # The client asks for its group's coordinator although no group is used here.
            if record.error() and record.error().code() == kafka.KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue
            if record.error():
                raise Refused(record.error().name())
            left -= 1
            deadline = time.monotonic() + PATIENCE_SECONDS
            yield record.value().decode()
    consumer.close()


def ids(config, topic):
    """The id of each record; None for what is no post."""
    for value in values(config, topic):
        try:
            yield int(json.loads(value)["data"]["id"])
        except (ValueError, TypeError, KeyError):
            yield None


def count(config, topic, ranges):
    """Counts each id in the topic."""
    found = collections.Counter(ids(config, topic))
    expected = set()
    for bounds in ranges:
        first, last = bounds.split("-")
        expected.update(range(int(first), int(last) + 1))
    lost = sorted(expected - found.keys())
    strange = [number for number in found if number not in expected]
    again = sum(found.values()) - len(found)
    print(f"sent {len(expected)}, found {sum(found.values())}, lost {len(lost)}, again {again}")
    if lost or strange:
        sys.exit(f"lost: {lost[:10]}; never sent: {strange[:10]}")


def login(config, topic):
    """Asks for the topic's metadata."""
    errors = Errors()
    producer = kafka.Producer(settings(config, error_cb=errors))
    try:
        found = producer.list_topics(topic, PATIENCE_SECONDS / 4).topics[topic]
    except kafka.KafkaException as error:
        producer.poll(0)
        raise Refused(errors.name or error.args[0].name()) from error
    if found.error:
        raise Refused(found.error.name())


def write(config, topic):
    """Sends one record."""
    answers = []
    producer = kafka.Producer(settings(config, **{"message.timeout.ms": PATIENCE_SECONDS * 1000}))
    producer.produce(topic, "0", on_delivery=lambda error, _: answers.append(error))
    producer.flush(PATIENCE_SECONDS)
    if not answers:
        raise Refused("no answer")
    if answers[0]:
        raise Refused(answers[0].name())


def join(config, topic, group):
    """Joins a group and reads until there is an answer."""
    consumer = kafka.Consumer(settings(config, **{"group.id": group, "auto.offset.reset": "earliest"}))
    consumer.subscribe([topic])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        record = consumer.poll(1)
        if record is None:
            continue
        if record.error():
            raise Refused(record.error().name())
        consumer.close()
        return
    raise Refused("no answer")


def main():
    """The command line."""
    try:
        match sys.argv[1:]:
            case ["count", config, topic, *ranges] if ranges:
                return count(config, topic, ranges)
            case ["newest", config, topic, number]:
                return sys.exit(0 if int(number) in ids(config, topic) else 1)
            case ["write", config, topic]:
                write(config, topic)
            case ["read", config, topic]:
                collections.deque(values(config, topic), maxlen=0)
            case ["login", config, topic]:
                login(config, topic)
            case ["join", config, topic, group]:
                join(config, topic, group)
            case _:
                sys.exit(__doc__)
    except Refused as refused:
        print(refused)
        sys.exit(1)
    except kafka.KafkaException as error:
        print(error.args[0].name())
        sys.exit(1)
    print("ok")
    return None


if __name__ == "__main__":
    main()
