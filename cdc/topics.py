"""Owns the questions about topics: which exist, and how large a record each takes. It changes nothing.

The one module that asks Kafka's admin client.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]  # no __all__

from cdc.errors import BrokerError, Kind
from cdc.kafka import Rejections, broker_error, client_config, shared_settings, topic_names
from cdc.records import TopicName

_log: Final = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 10.0
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
