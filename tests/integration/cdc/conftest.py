"""The fixtures that the integration tests of the engine share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from pydantic import SecretStr

from cdc.settings import Settings
from cdc.watch.doctor import diagnose
from stack.ports import free_ports
from tests.integration.cdc.engines import Launch, engines
from tests.integration.cdc.listener import Listener
from tests.integration.cdc.server import VERSIONS, Database, Server, fresh_database
from tests.integration.cdc.topics import Topic, fresh_topics
from tests.waiting import eventually


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """The bounded wait."""
    return eventually


@pytest.fixture(scope="session", params=list(VERSIONS))
def server(request: pytest.FixtureRequest, stack_settings: Any) -> Iterator[Server]:
    """A server of each PostgreSQL version of this machine."""
    binaries = VERSIONS[request.param]
    if not (binaries / "postgres").exists():
        pytest.skip(f"PostgreSQL {request.param} is not in {binaries}")
    (port,) = free_ports(1)
    made = Server(binaries, port)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def encoding() -> str:
    """The encoding of the test's database; a module of tests may give another."""
    return "UTF8"


@pytest.fixture(scope="session")
def database_of() -> Callable[..., AbstractContextManager[Database]]:
    """A maker of databases for tests that share one."""
    return fresh_database


@pytest.fixture
def database(server: Server, encoding: str) -> Iterator[Database]:
    """A fresh database with the shipped tables and publication; its slots go with it."""
    with fresh_database(server, encoding) as made:
        yield made


@pytest.fixture
def new_topic(kafka_bootstrap: str) -> Iterator[Callable[..., Topic]]:
    """A maker of topics, deleted after the test."""
    with fresh_topics(kafka_bootstrap) as make:
        yield make


@pytest.fixture
def topic(new_topic: Callable[..., Topic]) -> Topic:
    """One topic of six partitions."""
    return new_topic()


@pytest.fixture
def launch(database: Database, topic: Topic) -> Iterator[Launch]:
    """A starter of engines on the test's database and topic."""
    with engines(database, topic) as start:
        yield start


@pytest.fixture
def listen(database: Database) -> Iterator[Callable[..., Listener]]:
    """A maker of listeners on the test's database; publication `p` must exist."""
    made: list[Listener] = []

    def make(slot: str, tables: str, **options: Any) -> Listener:
        if not database.run("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot):
            database.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
        made.append(Listener(database, slot, tables, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def slot(database: Database) -> str:
    """The name of the slot that launched engines use."""
    return f"s_{database.name[-12:]}"


@pytest.fixture
def diagnosed(database: Database, topic: Topic, slot: str) -> Callable[[], set[str]]:
    """Doctor's answer for the engine that is launched: the kinds of what it finds."""
    settings = Settings(
        database_url=SecretStr(database.url),
        kafka_bootstrap_servers=topic.bootstrap,
        cdc_topic=topic.name,
        slot_name=slot,
    )
    return lambda: {each.kind.value for each in diagnose(settings)}
