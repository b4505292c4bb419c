"""The lag of consumer groups, on a real broker."""

import threading
from uuid import uuid4

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from consumers import Consumer, ConsumerSettings
from stack.lags import Lag, lags
from tests.waiting import eventually


def create(bootstrap: str, name: str, partitions: int = 2) -> None:
    """Create a topic, unless another test did."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if name not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)


def produce(bootstrap: str, topic: str, count: int) -> None:
    """Write event headers."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(count):
        producer.produce(topic, value=b'{"id": "%d"}' % number, partition=number % 2)
    assert producer.flush(30) == 0


def found(bootstrap: str, topic: str) -> list[Lag]:
    """Return what is told of one topic."""
    return [each for each in lags(bootstrap) if each.topic == topic]


def test_the_lag_of_a_group_is_what_it_has_not_handled(kafka_bootstrap: str) -> None:
    """Any group with offsets on a filtered topic is told, with its members, while it reads and after it left."""
    topic, group = f"filtered-{uuid4().hex}", f"g-{uuid4().hex}"
    create(kafka_bootstrap, topic)
    produce(kafka_bootstrap, topic, 6)
    assert found(kafka_bootstrap, topic) == []
    stop, seen = threading.Event(), list[str]()
    settings = ConsumerSettings(
        kafka_bootstrap_servers=kafka_bootstrap, kafka_topic=topic, consumer_group_id=group, schema_registry_url=""
    )
    thread = threading.Thread(target=Consumer(settings, lambda record, _: seen.append(record.id)).run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: found(kafka_bootstrap, topic) == [Lag(group, topic, 1, 0)], "all six are committed")
    finally:
        stop.set()
        thread.join(30)
    produce(kafka_bootstrap, topic, 3)
    eventually(lambda: found(kafka_bootstrap, topic) == [Lag(group, topic, 0, 3)], "it has left and is behind")


def test_a_declared_group_that_never_read_is_behind_by_all_records(kafka_bootstrap: str) -> None:
    """A dealer's topic has its own group, and the group of all service events is not behind on it (FL-80)."""
    mark = uuid4().hex
    topic = f"filtered-service-events-dealer-002-{mark}"
    create(kafka_bootstrap, topic)
    produce(kafka_bootstrap, topic, 4)
    assert found(kafka_bootstrap, topic) == [Lag("dealer-002-service-consumer-group", topic, 0, 4)]


def test_records_of_an_open_transaction_are_nobodys_lag(kafka_bootstrap: str) -> None:
    """A read-committed reader cannot have them yet; once committed they count."""
    topic = f"filtered-car-created-events-{uuid4().hex}"
    create(kafka_bootstrap, topic)
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "transactional.id": uuid4().hex})
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(5):
        producer.produce(topic, value=b"{}", partition=0)
    assert producer.flush(30) == 0
    assert found(kafka_bootstrap, topic) == [Lag("car-consumer-group", topic, 0, 0)]
    producer.commit_transaction(30)
    # The transaction's end is a record of its own, which takes an offset.
    eventually(lambda: found(kafka_bootstrap, topic) == [Lag("car-consumer-group", topic, 0, 6)], "they count")
