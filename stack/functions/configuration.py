"""Owns what the local Lambda service is told: every function, how large, and its environment.

Must never hold a secret: those come from Secrets Manager, or are handed on from the service's own environment.
"""

from pathlib import Path
from typing import Any, Final

import tomli_w

from stack.functions import aws_names
from stack.functions.credentials import ACCOUNT, MASTER, REGION
from stack.functions_catalogue import find
from stack.settings import DATABASE, HOST, StackSettings

GATEWAY_HOST: Final = "localhost"
"""The name in tokens and in the certificate of the IAM gateway."""

IAM_DATABASE: Final = "iam"
IAM_USER: Final = "query_function"
TODOS_DATABASE: Final = "todos"
DEMO_DATABASE: Final = "demodb"
DATABASES: Final = (IAM_DATABASE, TODOS_DATABASE, DEMO_DATABASE, aws_names.API_DATABASE)
"""Databases that the functions have beside the pipeline's own, on the same server."""

CALLEE: Final = "PostgresFunction"
"""The function that SQL calls."""

TODOS_TABLE: Final = "todos"

_SMALLEST_MB: Final = 256
"""Here a function has the whole environment to import from, which takes more than its package would."""

_SDK: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_LAMBDA",
    "AWS_ENDPOINT_URL_DYNAMODB",
)


def write(settings: StackSettings, authority: Path, file: Path) -> None:
    """Write the configuration of the local Lambda service.

    Args:
        settings: The stack.
        authority: The certificate that the IAM gateway's is signed with.
        file: Where to.
    """
    document: dict[str, Any] = {
        "host": HOST,
        "port": settings.lambda_port,
        "region": REGION,
        "account": ACCOUNT,
        "apis": {
            "todos": {"port": settings.todos_port, "function": "todos"},
            "serverless-api": {"port": settings.serverless_api_port, "function": "serverless-api"},
        },
        "functions": {
            name: {**function, "environment_from": list(_SDK)}
            for name, function in _functions(settings, authority).items()
        },
    }
    file.write_text(tomli_w.dumps(document))


def _functions(settings: StackSettings, authority: Path) -> dict[str, dict[str, Any]]:
    database = {"DB_SSL_ROOT_CERT": str(authority)}
    secret = {"DB_SECRET_ARN": aws_names.SECRET, "DB_NAME": DEMO_DATABASE, **database}
    cluster = {"AURORA_CLUSTER_ID": aws_names.CLUSTER}
    stopping = {**cluster, "API_GATEWAY_ID": aws_names.API, "DATABASE_URL": settings.database_url}
    iam = {"DB_HOST": GATEWAY_HOST, "DB_PORT": str(settings.iam_port), "DB_NAME": IAM_DATABASE, "DB_IAM_USER": IAM_USER}
    todos = {
        "RDS_HOST": GATEWAY_HOST,
        "RDS_PORT": str(settings.iam_port),
        "RDS_DATABASE": TODOS_DATABASE,
        "RDS_PASSWORD_SECRET": aws_names.SECRET,
        "RDS_USERNAME": MASTER,
        "DYNAMODB_TABLE_NAME": TODOS_TABLE,
        **database,
    }
    api = {"USE_SECRETS_MANAGER": "true", "DB_SECRET_NAME": aws_names.API_SECRET, **database}

    def function(name: str, environment: dict[str, str]) -> dict[str, Any]:
        known = find(name)
        return {
            "handler": known.handler,
            "memory_mb": max(known.memory_mb, _SMALLEST_MB),
            "timeout_seconds": known.timeout_seconds,
            "environment": environment,
        }

    idle = stopping | {"API_GATEWAY_ID": aws_names.IDLE_API}
    target = {"POSTGRES_FUNCTION_NAME": CALLEE}
    return {
        CALLEE: function(CALLEE, {}),
        "LambdaToPostgres": function("LambdaToPostgres", secret),
        # In the pipeline's own database, where the bridge reads.
        "PostgresSetupFunction": function("PostgresSetupFunction", secret | target | {"DB_NAME": DATABASE}),
        "auto-start": function("auto-start", cluster),
        "auto-stop": function("auto-stop", stopping),
        "auto-stop-idle": function("auto-stop", idle),
        "auto-stop-forced": function("auto-stop", idle | {"ALLOW_STOP_WITH_ACTIVE_SLOTS": "true"}),
        "iam-initializer": function("iam-initializer", iam | database | {"RDS_SECRET_NAME": aws_names.SECRET}),
        "iam-query": function("iam-query", iam | database),
        "todos": function("todos", todos),
        "todos-checker": function("todos-checker", todos | {"ORPHAN_GRACE_SECONDS": "1"}),
        "serverless-api": function("serverless-api", api),
        "serverless-api-init-db": function("serverless-api-init-db", api),
    }
