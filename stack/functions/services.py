"""Owns what runs beside the pipeline for the Lambda functions: each as a service, in which order, and told what.

Must never run one in this process, and must never know what a function does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import psycopg

from stack import dynamodb, postgres
from stack.errors import StackError
from stack.functions import aws_names, configuration
from stack.functions.credentials import MASTER, REGION, Credentials
from stack.functions.reach import Reach
from stack.functions.walk import WalkError
from stack.probes import answers, listens
from stack.service import Service
from stack.settings import HOST, StackSettings
from stack.state import State

AWS: Final = "aws"
GATEWAY: Final = "iam-database"
LAMBDA: Final = "lambda"
BRIDGE: Final = "callback-bridge"
FOLLOWER: Final = "cluster-follower"

SERVICES: Final = (LAMBDA, AWS, dynamodb.SERVICE, GATEWAY)
"""In the order in which they stop: what asks, before what is asked."""

HELPERS: Final = (FOLLOWER, BRIDGE)

_REMEDY: Final = "Run `headwater up --with functions` again; `headwater logs postgres` may tell more."


def services(settings: StackSettings, state: State) -> tuple[Service, ...]:
    """Return the description of each."""
    known = Credentials.of(state.root)
    return (
        _aws(settings, known),
        dynamodb.service(settings.cache_dir, state.root / "dynamodb", settings.dynamodb_port),
        _gateway(settings, state, known),
        _lambda(settings, state, known),
        _bridge(settings, known),
        _follower(settings, known),
    )


def sdk(settings: StackSettings, known: Credentials) -> dict[str, str]:
    """Return the variables by which the AWS SDK reaches this stack."""
    return {
        "AWS_ACCESS_KEY_ID": known.access_key,
        "AWS_SECRET_ACCESS_KEY": known.secret_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": settings.aws_url,
        "AWS_ENDPOINT_URL_LAMBDA": settings.lambda_url,
        "AWS_ENDPOINT_URL_DYNAMODB": settings.dynamodb_url,
    }


def authority(state: State) -> Path:
    """Return the certificate by which clients of the IAM gateway know it; the gateway makes it at each start."""
    return state.root / "certificates" / "ca.pem"


def iam_login(settings: StackSettings, state: State) -> dict[str, Any]:
    """Return the libpq parameters of a login at the gateway as the recurring query's role, without its token."""
    return {
        "host": configuration.GATEWAY_HOST,
        "port": settings.iam_port,
        "user": configuration.IAM_USER,
        "dbname": configuration.IAM_DATABASE,
        "sslmode": "verify-full",
        "sslrootcert": str(authority(state)),
    }


def producer_environment(settings: StackSettings, state: State) -> dict[str, str]:
    """Return what the producer is told so that it can have a stopped database started."""
    return {"AURORA_AUTO_START_FUNCTION_NAME": "auto-start", **sdk(settings, Credentials.of(state.root))}


def prepare(settings: StackSettings, state: State) -> None:
    """Write what the Lambda service is told."""
    configuration.write(settings, authority(state), _file(state))


def create_stores(settings: StackSettings, state: State) -> None:
    """Create what the functions keep their data in; what is there stays as it is.

    Raises:
        StackError: A program that creates its own fails, with what it said.
    """
    for name in configuration.DATABASES:
        postgres.create_database(settings, name)
    known = Credentials.of(state.root)
    base = {"DB_SSL_MODE": "disable", **sdk(settings, known)}
    _run("callbacks", base | {"DATABASE_URL": settings.database_url, "POSTGRES_FUNCTION_NAME": configuration.CALLEE})
    users = {
        "RDS_HOST": HOST,
        "RDS_PORT": str(settings.postgres_port),
        "RDS_DATABASE": configuration.TODOS_DATABASE,
        "RDS_USERNAME": MASTER,
        # This server trusts its own machine.
        "RDS_PASSWORD": "unused",
        "DYNAMODB_TABLE_NAME": configuration.TODOS_TABLE,
    }
    _run("functions.todos.setup", base | users)
    try:
        Reach(settings, known).invoke("serverless-api-init-db", {})
    except WalkError as error:
        raise StackError(str(error), "See `headwater logs lambda`.") from error


def _run(program: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", program], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"`python -m {program}` failed: {(done.stderr or done.stdout).strip()[-600:]}", _REMEDY)


def _file(state: State) -> Path:
    return state.run / "lambdas.toml"


def _aws(settings: StackSettings, known: Credentials) -> Service:
    return Service(
        name=AWS,
        command=(sys.executable, "-m", "stack.functions.aws"),
        environment={
            "AWS_EMULATOR_PORT": str(settings.aws_port),
            "AWS_EMULATOR_REGION": REGION,
            "AWS_EMULATOR_DATABASE_HOST": configuration.GATEWAY_HOST,
            "AWS_EMULATOR_DATABASE_PORT": str(settings.iam_port),
            "AWS_EMULATOR_DATABASE_USER": MASTER,
            "AWS_EMULATOR_DATABASE_PASSWORD": known.master_password,
        },
        ready=lambda: listens(settings.aws_port),
        endpoint=settings.aws_url,
    )


def _gateway(settings: StackSettings, state: State, known: Credentials) -> Service:
    return Service(
        name=GATEWAY,
        command=(sys.executable, "-m", "stack.iam_gateway"),
        environment={
            "IAM_GATEWAY_PORT": str(settings.iam_port),
            "IAMconfiguration.GATEWAY_HOST_NAME": configuration.GATEWAY_HOST,
            "IAM_GATEWAY_REGION": REGION,
            "IAM_GATEWAY_CREDENTIALS": json.dumps({known.access_key: {"secret_key": known.secret_key}}),
            "IAM_GATEWAY_MASTER_USER": MASTER,
            "IAM_GATEWAY_MASTER_PASSWORD": known.master_password,
            "IAM_GATEWAY_UPSTREAM_HOST": HOST,
            "IAM_GATEWAY_UPSTREAM_PORT": str(settings.postgres_port),
            "IAM_GATEWAY_CERTIFICATES": str(authority(state).parent),
        },
        ready=lambda: listens(settings.iam_port),
        endpoint=f"{configuration.GATEWAY_HOST}:{settings.iam_port}",
    )


def _lambda(settings: StackSettings, state: State, known: Credentials) -> Service:
    return Service(
        name=LAMBDA,
        command=(sys.executable, "-m", "stack.lambdas", "--config", str(_file(state))),
        environment=sdk(settings, known),
        ready=lambda: answers(f"{settings.lambda_url}/health"),
        stop_seconds=10,
        endpoint=settings.lambda_url,
    )


def _bridge(settings: StackSettings, known: Credentials) -> Service:
    return Service(
        name=BRIDGE,
        command=(sys.executable, "-m", "callbacks.bridge"),
        environment={"DATABASE_URL": settings.database_url, **sdk(settings, known)},
        ready=lambda: _bridge_runs(settings),
    )


def _follower(settings: StackSettings, known: Credentials) -> Service:
    return Service(
        name=FOLLOWER,
        command=(sys.executable, "-m", "stack.cluster"),
        environment={
            "AURORA_CLUSTER_ID": aws_names.CLUSTER,
            **sdk(settings, known),
            "AWS_ENDPOINT_URL_RDS": settings.aws_url,
            "AWS_ENDPOINT_URL_CLOUDWATCH": settings.aws_url,
        },
        ready=lambda: True,
    )


def _bridge_runs(settings: StackSettings) -> bool:
    try:
        with psycopg.connect(settings.database_url, connect_timeout=2) as connection:
            row = connection.execute("SELECT aws_lambda.bridge_running()").fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])
