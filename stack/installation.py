"""Owns which installation `headwater cdc …` means: that of the engine's variables, else the local stack."""

import os
from typing import Any

from pydantic import SecretStr, ValidationError

from cdc.emission import FormatName
from cdc.settings import Settings
from stack.errors import StackError
from stack.local import current_stack


def installation() -> tuple[Settings, str | None]:
    """Return the engine's settings, and the base URL of its endpoint, None where the environment tells of none."""
    local = current_stack().settings
    given: dict[str, Any] = {}
    if "DATABASE_URL" not in os.environ:
        given["database_url"] = SecretStr(local.database_url)
    if "KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
        given["kafka_bootstrap_servers"] = local.kafka_bootstrap
    if "database_url" in given and "CDC_FORMAT" not in os.environ and local.value_format == "avro":
        given["cdc_format"] = FormatName.AVRO
        if "CDC_SCHEMA_REGISTRY_URL" not in os.environ:
            given["cdc_schema_registry_url"] = SecretStr(local.schemas_url)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        named = "; ".join(f"{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in faults)
        raise StackError(
            f"The settings of the engine are wrong: {named}.", "Correct the environment variables."
        ) from None
    if settings.cdc_http_port is not None:
        host = "127.0.0.1" if settings.cdc_http_host in {"0.0.0.0", "::"} else settings.cdc_http_host  # noqa: S104  # where it listens, asked from here
        return settings, f"http://{host}:{settings.cdc_http_port}"
    return settings, local.cdc_url if "database_url" in given and local.cdc == "native" else None
