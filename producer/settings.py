"""What the producer reads from the environment, besides the database's own variables."""

from typing import Annotated, Final, Self

from pydantic import Field, HttpUrl, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# The five fields of EV-92, which no copied entity field may replace.
HEADER_FIELDS: Final = ("uuid", "eventName", "eventType", "createdDate", "savedDate")

# A Lambda refuses requests above 6 MB itself; the local server must give the same limit.
LAMBDA_REQUEST_BYTES: Final = 6 * 1024 * 1024


class ProducerSettings(BaseSettings):
    """Read the producer's variables.

    Raises:
        pydantic.ValidationError: A value that cannot be used; the message names the variable and the remedy.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    producer_host: str = "127.0.0.1"
    producer_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    log_level: str = "info"
    max_bulk_events: Annotated[int, Field(ge=1)] = 100
    max_body_bytes: Annotated[int, Field(ge=1)] = LAMBDA_REQUEST_BYTES
    # How long a request may go on starting new attempts when the Lambda context does not say: the function's 30 s
    # less the time to answer.
    request_seconds: Annotated[float, Field(gt=0)] = 25.0
    metadata_service_url: HttpUrl | None = None
    metadata_service_timeout: Annotated[float, Field(gt=0)] = 5.0
    # Asked to start a database that cannot be reached; it may take this long of a request's time.
    aurora_auto_start_function_name: str | None = None
    auto_start_timeout: Annotated[float, Field(gt=0)] = 5.0
    aws_region: str | None = None
    # Such as `ServiceRecord.dealerId,Car.vin`; see FL-21.
    header_entity_fields: Annotated[tuple[str, ...], NoDecode] = ()

    @model_validator(mode="before")
    @classmethod
    def _split(cls, values: dict[str, object]) -> dict[str, object]:
        text = values.get("header_entity_fields")
        if isinstance(text, str):
            fields = tuple(part.strip() for part in text.split(",") if part.strip())
            return {**values, "header_entity_fields": fields}
        return values

    @model_validator(mode="after")
    def _copied_fields_have_names_of_their_own(self) -> Self:
        for entry in self.header_entity_fields:
            entity_type, dot, name = entry.partition(".")
            if not (entity_type and dot and name) or name in HEADER_FIELDS:
                message = (
                    f"HEADER_ENTITY_FIELDS has {entry!r}: write EntityType.field, separated by commas, and none of "
                    f"{', '.join(HEADER_FIELDS)}"
                )
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _a_request_outlasts_auto_start(self) -> Self:
        if self.wake_seconds >= self.request_seconds:
            message = "AUTO_START_TIMEOUT is not below REQUEST_SECONDS: no time would be left to try the database"
            raise ValueError(message)
        return self

    @property
    def wake_seconds(self) -> float:
        """Return how much of a request's time is kept for auto-start."""
        return self.auto_start_timeout if self.aurora_auto_start_function_name else 0.0

    @property
    def copied_fields(self) -> tuple[tuple[str, str], ...]:
        """Return the entity fields to copy into the header JSON as (entity type, field) pairs."""
        return tuple((entry.partition(".")[0], entry.partition(".")[2]) for entry in self.header_entity_fields)
