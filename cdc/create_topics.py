"""Create the declared topics that are missing: `python -m cdc.create_topics`. It may be repeated at any moment.

It reads `KAFKA_BOOTSTRAP_SERVERS` and, for TLS and credentials, `CDC_KAFKA_CONFIG`, as the engine does.

Exit codes: 0 they are there, 1 Kafka cannot be reached or refuses, 2 the settings are wrong.
"""

import sys

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

import schemas
from cdc.errors import CdcError
from cdc.topics import create_topics
from cdc.watch.diagnosis import remedy_of


class TopicSettings(BaseSettings):
    """Which cluster; each is the environment variable of its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    kafka_bootstrap_servers: str
    cdc_kafka_config: dict[str, str] = {}


def main() -> int:
    """Create them; return the exit code."""
    try:
        settings = TopicSettings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            sys.stderr.write(f"{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}\n")
        return 2
    try:
        created = create_topics(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, schemas.topics())
    except CdcError as error:
        sys.stderr.write(f"{error}\n{remedy_of(error.kind)}\n")
        return 1
    sys.stdout.write(f"created: {', '.join(created)}\n" if created else "every declared topic is there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
