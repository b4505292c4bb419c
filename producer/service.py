"""Put the producer together: settings, connections, store, API.

Owns the one place where the parts meet; the Lambda handler and the local server both call it.
"""

from dataclasses import dataclass
from typing import Self

import structlog

from database import DatabaseSettings, Direct, Links
from producer.admission import Validator
from producer.api import Api, Waker
from producer.settings import ProducerSettings
from producer.store import EventStore

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Service:
    """A producer that is ready for requests."""

    settings: ProducerSettings
    database: DatabaseSettings
    api: Api
    links: Links
    validator: Validator | None

    @classmethod
    def from_environment(cls, waker: Waker | None = None) -> Self:
        """Return the service that the environment describes; connects at the first request.

        Args:
            waker: Asked instead of the auto-start function that the environment may name.

        Raises:
            pydantic.ValidationError: A variable is missing or unusable; the message names it (LC-5).
        """
        # Values come from the environment, which mypy cannot see.
        settings, database = ProducerSettings(), DatabaseSettings()
        links = Links(Direct.of(database), database.limits)
        validator = _validator(settings)
        api = Api(settings, EventStore(links), validator, waker or _waker(settings))
        return cls(settings, database, api, links, validator)

    def close(self) -> None:
        """Close the connections, after the last request."""
        self.links.close()
        if self.validator is not None:
            self.validator.close()


def _validator(settings: ProducerSettings) -> Validator | None:
    if settings.metadata_service_url is None:
        return None
    # Loaded only where it is used: an HTTP client is a good part of a Lambda's cold start.
    from producer.validation import SchemaValidator  # noqa: PLC0415

    _log.info("schema_validation_on", url=str(settings.metadata_service_url))
    return SchemaValidator(str(settings.metadata_service_url), settings.metadata_service_timeout)


def _waker(settings: ProducerSettings) -> Waker | None:
    if settings.aurora_auto_start_function_name is None:
        return None
    # Loaded only where it is used, like the validator: the AWS SDK is the largest part of a cold start.
    from producer.waker import AutoStartWaker  # noqa: PLC0415

    return AutoStartWaker(settings.aurora_auto_start_function_name, settings.auto_start_timeout, settings.aws_region)
