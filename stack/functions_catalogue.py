"""Owns what there is to know about each Lambda function: where its code is, its size, and what it is given.

One table for the package, for the local service and for whoever deploys. It must never import a function.
"""

from dataclasses import dataclass
from typing import Final

from stack.errors import StackError


@dataclass(frozen=True, slots=True)
class LambdaFunction:
    """One function.

    Attributes:
        name: Of the function, and so of its package.
        handler: `module.function`.
        extra: The extra of pyproject.toml that says what it needs.
        code: Its own folders and modules, below the root of the project; `database` and `schemas` come with every
            function.
        memory_mb: Also its share of a processor.
        timeout_seconds: Of one call.
        required: Variables without which it does not start.
        optional: Variables that have defaults, or of which one choice is needed.
        left_out: What of its code is not for AWS.
        python: The runtime's version.
        architecture: `arm64`; `x86_64` where the runtime is that of Python 3.11, whose system has glibc 2.26, and
            psycopg's wheels for arm64 want 2.27.
    """

    name: str
    handler: str
    extra: str
    code: tuple[str, ...]
    memory_mb: int
    timeout_seconds: int
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    python: str = "3.12"
    architecture: str = "arm64"


_DATABASE: Final = (
    "DATABASE_URL",
    "AURORA_ENDPOINT",
    "DATABASE_PORT",
    "DATABASE_NAME",
    "DATABASE_USER",
    "DATABASE_PASSWORD",
)
_SECRET: Final = (
    "DB_NAME",
    "DB_SSL_MODE",
    "DB_SSL_ROOT_CERT",
    "DB_CONNECT_TIMEOUT",
    "DB_STATEMENT_TIMEOUT",
    "LOG_LEVEL",
)
_API: Final = (
    "USE_SECRETS_MANAGER",
    "USE_IAM_AUTH",
    "USE_RDS_PROXY",
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_USER",
    "DB_PASSWORD",
    "DB_SECRET_NAME",
    "DB_SSL_ROOT_CERT",
    "DB_CONNECT_TIMEOUT",
    "DB_STATEMENT_TIMEOUT",
    "LOG_LEVEL",
)
# The bridge and the extension stand in for AWS on a machine of one's own.
_LOCAL_CALLBACKS: Final = ("callbacks/bridge", "callbacks/extension")

_EVERY: Final = (
    LambdaFunction(
        "producer",
        "producer.lambda_handler.handler",
        "producer",
        ("producer",),
        512,
        30,
        optional=(
            *_DATABASE,
            "AURORA_AUTO_START_FUNCTION_NAME",
            "AUTO_START_TIMEOUT",
            "METADATA_SERVICE_URL",
            "HEADER_ENTITY_FIELDS",
            "MAX_BULK_EVENTS",
            "LOG_LEVEL",
        ),
    ),
    LambdaFunction(
        "PostgresFunction",
        "callbacks.postgres_function.handler",
        "callbacks",
        ("callbacks",),
        256,
        10,
        left_out=_LOCAL_CALLBACKS,
    ),
    LambdaFunction(
        "LambdaToPostgres",
        "callbacks.lambda_to_postgres.handler",
        "callbacks",
        ("callbacks",),
        256,
        30,
        required=("DB_SECRET_ARN",),
        optional=_SECRET,
        left_out=_LOCAL_CALLBACKS,
    ),
    LambdaFunction(
        "PostgresSetupFunction",
        "callbacks.setup_function.handler",
        "callbacks",
        ("callbacks",),
        256,
        120,
        required=("DB_SECRET_ARN", "POSTGRES_FUNCTION_NAME"),
        optional=_SECRET,
        left_out=_LOCAL_CALLBACKS,
    ),
    LambdaFunction(
        "auto-start",
        "functions.cluster_power.auto_start.handler",
        "cluster-power",
        ("functions/cluster_power", "functions/logs.py"),
        128,
        60,
        required=("AURORA_CLUSTER_ID",),
        optional=("LOG_LEVEL",),
        python="3.11",
        architecture="x86_64",
    ),
    LambdaFunction(
        "auto-stop",
        "functions.cluster_power.auto_stop.handler",
        "cluster-power",
        ("functions/cluster_power", "functions/logs.py"),
        256,
        60,
        required=("AURORA_CLUSTER_ID",),
        optional=(
            "API_GATEWAY_ID",
            "INACTIVITY_HOURS",
            "SNS_TOPIC_ARN",
            "ALLOW_STOP_WITH_ACTIVE_SLOTS",
            *_DATABASE,
            "LOG_LEVEL",
        ),
        python="3.11",
        architecture="x86_64",
    ),
    LambdaFunction(
        "iam-initializer",
        "functions.iam_database.initializer.handler",
        "iam-database",
        ("functions/iam_database", "functions/logs.py"),
        256,
        300,
        required=("DB_HOST", "RDS_SECRET_NAME"),
        optional=("DB_PORT", "DB_NAME", "DB_IAM_USER", "DB_SSL_MODE", "DB_SSL_ROOT_CERT", "LOG_LEVEL"),
    ),
    LambdaFunction(
        "iam-query",
        "functions.iam_database.query.handler",
        "iam-database",
        ("functions/iam_database", "functions/logs.py"),
        256,
        300,
        required=("DB_HOST",),
        optional=("DB_PORT", "DB_NAME", "DB_IAM_USER", "DB_SSL_MODE", "DB_SSL_ROOT_CERT", "LOG_LEVEL"),
    ),
    LambdaFunction(
        "todos",
        "functions.todos.handler.handler",
        "todos",
        ("functions/todos",),
        512,
        30,
        required=("RDS_HOST", "RDS_DATABASE", "RDS_USERNAME", "DYNAMODB_TABLE_NAME"),
        optional=("RDS_PORT", "RDS_PASSWORD", "RDS_PASSWORD_SECRET", "DYNAMODB_USER_INDEX", "LOG_LEVEL"),
    ),
    LambdaFunction(
        "todos-checker",
        "functions.todos.checker.handler",
        "todos",
        ("functions/todos",),
        512,
        300,
        required=("RDS_HOST", "RDS_DATABASE", "RDS_USERNAME", "DYNAMODB_TABLE_NAME"),
        optional=(
            "RDS_PORT",
            "RDS_PASSWORD",
            "RDS_PASSWORD_SECRET",
            "DYNAMODB_USER_INDEX",
            "ORPHAN_GRACE_SECONDS",
            "LOG_LEVEL",
        ),
    ),
    LambdaFunction(
        "serverless-api",
        "functions.serverless_api.handler.handler",
        "serverless-api",
        ("functions/serverless_api", "functions/logs.py"),
        512,
        30,
        optional=_API,
        python="3.11",
        architecture="x86_64",
    ),
    LambdaFunction(
        "serverless-api-init-db",
        "functions.serverless_api.init_db.handler",
        "serverless-api",
        ("functions/serverless_api", "functions/logs.py"),
        512,
        120,
        optional=_API,
        python="3.11",
        architecture="x86_64",
    ),
)

CATALOGUE: Final = {function.name: function for function in _EVERY}
"""Every function by its name."""


def find(name: str) -> LambdaFunction:
    """Return a function by its name.

    Raises:
        StackError: There is none of this name.
    """
    if name not in CATALOGUE:
        raise StackError(f"There is no function {name!r}.", f"Take one of {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]
