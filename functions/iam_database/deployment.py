"""How the two functions are deployed, as data for whatever deploys them (LC-107, LC-110).

Owns sizes, networks, the schedule and what each function's role may do. Nothing here calls AWS.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

Subnets = Literal["private-with-egress", "isolated"]

SCHEDULE: Final = "cron(0 4 * * ? *)"
"""Of the query: daily at 04:00 UTC, in EventBridge's own form."""


@dataclass(frozen=True, slots=True)
class FunctionPlan:
    """One function; the time-out is in seconds, the memory in MB."""

    handler: str
    subnets: Subnets
    variables: tuple[str, ...]
    runtime: str = "python3.12"
    architecture: str = "arm64"
    timeout: int = 300
    memory: int = 256


@dataclass(frozen=True, slots=True)
class DatabasePlan:
    """The cluster: reached from inside of the network alone."""

    subnets: Subnets = "isolated"
    publicly_accessible: bool = False
    iam_authentication: bool = True
    bastion: bool = False


DATABASE: Final = DatabasePlan()

INITIALIZER: Final = FunctionPlan(
    handler="functions.iam_database.initializer.handler",
    # Secrets Manager is outside.
    subnets="private-with-egress",
    variables=("RDS_SECRET_NAME", "DB_HOST", "DB_PORT", "DB_NAME", "DB_IAM_USER", "DB_SSL_ROOT_CERT"),
)

QUERY: Final = FunctionPlan(
    handler="functions.iam_database.query.handler",
    # A token is signed without any call, so there is nothing to reach but the database.
    subnets="isolated",
    variables=("DB_HOST", "DB_PORT", "DB_NAME", "DB_IAM_USER", "DB_SSL_ROOT_CERT"),
)


def query_policy(region: str, account: str, resource_id: str, user: str, partition: str = "aws") -> dict[str, Any]:
    """Return what the query function may do: log in as one role of one cluster (LC-10).

    Args:
        region: Of the cluster.
        account: Likewise.
        resource_id: Of the cluster (`cluster-…`), the instance (`db-…`) or the proxy (`prx-…`); not its name.
        user: The role, DB_IAM_USER.
        partition: Of AWS.

    Raises:
        ValueError: A part is missing or has a wildcard.
    """
    parts = (partition, region, account, resource_id, user)
    if not all(parts) or any(mark in part for part in parts for mark in "*?:/"):
        raise ValueError("rds-db:connect is granted for one role of one cluster: give each part, without wildcards")
    arn = f"arn:{partition}:rds-db:{region}:{account}:dbuser:{resource_id}/{user}"
    return _allow("rds-db:connect", arn)


def initializer_policy(secret_arn: str) -> dict[str, Any]:
    """Return what the initializer may do: read one secret.

    Raises:
        ValueError: It is no full ARN of a secret.
    """
    if ":secretsmanager:" not in secret_arn or any(mark in secret_arn for mark in "*?"):
        raise ValueError("give the full ARN of the master user's secret, without wildcards")
    return _allow("secretsmanager:GetSecretValue", secret_arn)


def _allow(action: str, resource: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": [action], "Resource": [resource]}],
    }
