"""Owns what concerns topics themselves: how large a record each takes, and the creation of the declared ones.

The one module that speaks to Kafka's admin client. The engine itself creates no topic.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # no __all__
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from cdc.errors import BrokerError, Kind
from cdc.kafka import Rejections, broker_error, client_config, shared_settings, topic_names
from cdc.records import TopicName
from schemas import Topic

_log: Final = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 10.0
_CREATION_S: Final = 30.0
_MISSING: Final = frozenset({
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001  # the client library's public name of a local error
})  # fmt: skip


def read_sizes(
    bootstrap_servers: str, given: Mapping[str, str], topics: Iterable[TopicName]
) -> dict[TopicName, int | None]:
    """Return `max.message.bytes` of those topics that exist; None where the user may not know it.

    Raises:
        BrokerError: Kafka cannot be reached.
    """
    rejections = Rejections()
    config = client_config(bootstrap_servers, shared_settings(given)) | {"error_cb": rejections.note}
    try:
        admin = AdminClient(config)
        existing = topic_names(admin, rejections)
        resources = {ConfigResource(ResourceType.TOPIC, name): name for name in topics if name in existing}
        asked = admin.describe_configs(list(resources), request_timeout=_TIMEOUT_S) if resources else {}
    except KafkaException as error:
        raise broker_error(error) from error
    found: dict[TopicName, int | None] = {}
    for resource, answer in asked.items():
        topic = resources[resource]
        try:
            found[topic] = int(answer.result(_TIMEOUT_S)["max.message.bytes"].value)
        except KafkaException as error:
            cause = broker_error(error)
            if cause.kind is Kind.BROKER_UNREACHABLE:
                raise cause from error
            if error.args[0].code() not in _MISSING:
                _log.warning(
                    "topic_size_unknown", topic=topic, detail=str(cause), remedy="Allow DescribeConfigs on it."
                )
                found[topic] = None
        except TimeoutError as error:
            message = f"no answer while asking for the size limit of {topic}"
            raise BrokerError(Kind.BROKER_UNREACHABLE, message) from error
    return found


def create_topics(bootstrap_servers: str, given: Mapping[str, str], wanted: Iterable[Topic]) -> list[TopicName]:
    """Create those of the declared topics that are missing (CD-21, CD-27); return their names.

    Where the cluster has fewer brokers than a topic's copies in the cloud, the local declaration holds: one copy.

    Raises:
        BrokerError: Kafka cannot be reached, or refuses one; the message names it.
    """
    rejections = Rejections()
    config = client_config(bootstrap_servers, shared_settings(given)) | {"error_cb": rejections.note}
    created = []
    try:
        admin = AdminClient(config)
        existing = topic_names(admin, rejections)
        brokers = len(admin.list_topics(timeout=_TIMEOUT_S).brokers)
        missing = [_new(topic, brokers) for topic in wanted if topic.name not in existing]
        for name, answer in (admin.create_topics(missing, operation_timeout=_CREATION_S) if missing else {}).items():
            if _made(name, answer):
                created.append(TopicName(name))
    except KafkaException as error:
        raise broker_error(error) from error
    return created


def _new(topic: Topic, brokers: int) -> NewTopic:
    if brokers >= topic.replication_cloud:
        config = {**topic.config, **topic.config_cloud}
        return NewTopic(topic.name, topic.partitions, topic.replication_cloud, config=config)
    return NewTopic(topic.name, topic.partitions, topic.replication_local, config=topic.config)


def _made(name: str, answer: Future[None]) -> bool:
    """Return whether this call created it; another one may have been quicker."""
    try:
        answer.result(_CREATION_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        cause = broker_error(error)
        raise BrokerError(cause.kind, f"the topic {name} is not created: {cause}") from error
    except TimeoutError as error:
        raise BrokerError(Kind.BROKER_UNREACHABLE, f"no answer while creating the topic {name}") from error
    return True
