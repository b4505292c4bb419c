"""Where a server cannot be given the files of an extension, the same scripts make plain schemas."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from callbacks import extension
from stack.ports import free_ports
from tests.integration.callbacks.bridges import Bridge, asked, nothing_left
from tests.integration.cdc.server import VERSIONS, Server
from tests.integration.lambdas.conftest import Service
from tests.waiting import eventually

CALL = "SELECT payload FROM aws_lambda.invoke(aws_commons.create_lambda_function_arn('callee', 'eu-west-1'), %s::jsonb)"


@pytest.fixture
def postgres_15() -> Iterator[str]:
    """A database of the system's PostgreSQL 15, where there is one."""
    if not VERSIONS["15"].exists():
        pytest.skip("needs Debian's PostgreSQL 15")
    server = Server(VERSIONS["15"], free_ports(1)[0])
    try:
        server.start()
        yield server.dsn("postgres")
    finally:
        server.remove()


def test_postgresql_15_calls_too(postgres_15: str, lambdas: Service, tmp_path: Path, closing: ExitStack) -> None:
    """Installed as schemas, as often as one likes, with results, errors and nothing left, as on 18 (LC-98, LC-91)."""
    with psycopg.connect(postgres_15, autocommit=True) as connection:
        extension.install(connection)
        extension.install(connection)
    bridge = Bridge(postgres_15, lambdas.url, tmp_path / "bridge.log").ready()
    closing.callback(bridge.close)
    for number in range(20):
        assert asked(postgres_15, CALL, str(number)) == (number,)
    with pytest.raises(errors.ExternalRoutineException, match="LookupError: gone"):
        asked(postgres_15, CALL, '{"do": "raise", "message": "gone"}')
    eventually(lambda: nothing_left(postgres_15), "no answer and no slot is left")
