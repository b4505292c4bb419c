"""Owns what the local Lambda service is told: every function, how large, and its environment.

Must never hold a secret: those come from Secrets Manager, or are handed on from the service's own environment.
"""

from pathlib import Path
from typing import Any, Final

import tomli_w

from stack.functions import aws
from stack.functions.credentials import ACCOUNT, MASTER, REGION
from stack.settings import DATABASE, HOST, StackSettings

IAM_DATABASE: Final = "iam"
IAM_USER: Final = "query_function"
TODOS_DATABASE: Final = "todos"
DEMO_DATABASE: Final = "demodb"
DATABASES: Final = (IAM_DATABASE, TODOS_DATABASE, DEMO_DATABASE, aws.API_DATABASE)
"""Databases that the functions have beside the pipeline's own, on the same server."""

CALLEE: Final = "PostgresFunction"
"""The function that SQL calls."""

TODOS_TABLE: Final = "todos"

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
    secret = {"DB_SECRET_ARN": aws.SECRET, "DB_NAME": DEMO_DATABASE, **database}
    cluster = {"AURORA_CLUSTER_ID": aws.CLUSTER}
    stopping = {**cluster, "API_GATEWAY_ID": aws.API, "DATABASE_URL": settings.database_url}
    iam = {"DB_HOST": "localhost", "DB_PORT": str(settings.iam_port), "DB_NAME": IAM_DATABASE, "DB_IAM_USER": IAM_USER}
    todos = {
        "RDS_HOST": "localhost",
        "RDS_PORT": str(settings.iam_port),
        "RDS_DATABASE": TODOS_DATABASE,
        "RDS_PASSWORD_SECRET": aws.SECRET,
        "RDS_USERNAME": MASTER,
        "DYNAMODB_TABLE_NAME": TODOS_TABLE,
        **database,
    }
    api = {"USE_SECRETS_MANAGER": "true", "DB_SECRET_NAME": aws.API_SECRET, **database}

    def function(handler: str, memory_mb: int, timeout: int, environment: dict[str, str]) -> dict[str, Any]:
        return {"handler": handler, "memory_mb": memory_mb, "timeout_seconds": timeout, "environment": environment}

    power, stop = "functions.cluster_power", "functions.cluster_power.auto_stop.handler"
    target = {"POSTGRES_FUNCTION_NAME": CALLEE}
    return {
        "PostgresFunction": function("callbacks.postgres_function.handler", 256, 30, {}),
        "LambdaToPostgres": function("callbacks.lambda_to_postgres.handler", 256, 30, secret),
        # In the pipeline's own database, where the bridge reads.
        "PostgresSetupFunction": function(
            "callbacks.setup_function.handler", 256, 60, secret | target | {"DB_NAME": DATABASE}
        ),
        "auto-start": function(f"{power}.auto_start.handler", 256, 60, cluster),
        "auto-stop": function(stop, 256, 60, stopping),
        "auto-stop-idle": function(stop, 256, 60, stopping | {"API_GATEWAY_ID": aws.IDLE_API}),
        "auto-stop-forced": function(
            stop, 256, 60, stopping | {"API_GATEWAY_ID": aws.IDLE_API, "ALLOW_STOP_WITH_ACTIVE_SLOTS": "true"}
        ),
        "iam-initializer": function(
            "functions.iam_database.initializer.handler", 256, 300, iam | database | {"RDS_SECRET_NAME": aws.SECRET}
        ),
        "iam-query": function("functions.iam_database.query.handler", 256, 60, iam | database),
        "todos": function("functions.todos.handler.handler", 512, 30, todos),
        "todos-checker": function("functions.todos.checker.handler", 512, 60, todos | {"ORPHAN_GRACE_SECONDS": "1"}),
        "serverless-api": function("functions.serverless_api.handler.handler", 512, 30, api),
        "serverless-api-init-db": function("functions.serverless_api.init_db.handler", 512, 60, api),
    }
