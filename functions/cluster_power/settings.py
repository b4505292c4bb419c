"""What the two functions read from the environment (LC-50, LC-60).

Owns the names of the variables; a missing one is a start error. The AWS endpoints are botocore's own variables.
"""

from typing import Annotated, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# CloudWatch gives at most 1,440 values at once; an hour each, that is 60 days.
_LONGEST_HOURS: Final = 1440


class PowerSettings(BaseSettings):
    """Read what both functions need.

    Raises:
        pydantic.ValidationError: `AURORA_CLUSTER_ID` is missing, or a value cannot be used.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    aurora_cluster_id: str
    aws_region: str | None = None
    log_level: str = "info"


class StopSettings(PowerSettings):
    """Read what auto-stop needs besides.

    Raises:
        pydantic.ValidationError: As for `PowerSettings`.
    """

    api_gateway_id: str | None = None
    inactivity_hours: Annotated[float, Field(gt=0, le=_LONGEST_HOURS)] = 3.0
    sns_topic_arn: str | None = None
    allow_stop_with_active_slots: bool = False
