"""The AWS API of the local stack: `python -m stack.functions.aws`, until SIGTERM.

Owns which cluster and which secret there are before it listens. RDS, Secrets Manager, CloudWatch and SNS are moto's,
in memory: after a restart they are as at the start. Must never be reached from elsewhere than this machine, for it
checks no signature (https://docs.getmoto.org/en/latest/docs/server_mode.html).
"""

import json
import signal
import sys
import threading
from typing import Annotated, Any

import boto3
from moto.server import ThreadedMotoServer
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from stack.functions.aws_names import API_DATABASE, API_SECRET, CLUSTER, SECRET


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="AWS_EMULATOR_", frozen=True, hide_input_in_errors=True)

    port: Annotated[int, Field(ge=1, le=65535)]
    region: str
    database_host: str
    database_port: int
    database_user: str
    database_password: SecretStr


def main() -> int:
    """Serve until told to stop."""
    settings = _Settings()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    # State belongs to the process, not to the port: what is made behind this one is there when the known one opens.
    behind = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    behind.start()
    _host, port = behind.get_host_and_port()
    _seed(settings, f"http://127.0.0.1:{port}")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=settings.port, verbose=False)
    server.start()
    sys.stdout.write(f"listening at 127.0.0.1:{settings.port}: cluster {CLUSTER}, secret {SECRET}\n")
    sys.stdout.flush()
    told.wait()
    server.stop()
    behind.stop()
    return 0


def _seed(settings: _Settings, endpoint: str) -> None:
    def client(name: str) -> Any:
        return boto3.client(
            name,
            endpoint_url=endpoint,
            region_name=settings.region,
            aws_access_key_id="seed",
            aws_secret_access_key="seed",  # noqa: S106 - moto checks none
        )

    password = settings.database_password.get_secret_value()
    client("rds").create_db_cluster(
        DBClusterIdentifier=CLUSTER,
        Engine="aurora-postgresql",
        MasterUsername=settings.database_user,
        MasterUserPassword=password,
    )
    stored = {
        "engine": "postgres",
        "host": settings.database_host,
        "port": settings.database_port,
        "username": settings.database_user,
        "password": password,
    }
    secrets = client("secretsmanager")
    secrets.create_secret(Name=SECRET, SecretString=json.dumps(stored))
    secrets.create_secret(Name=API_SECRET, SecretString=json.dumps({**stored, "dbname": API_DATABASE}))


if __name__ == "__main__":
    sys.exit(main())
