"""The fixtures that the integration tests of the Flink stage share: a job with topics, folders, a name of its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from stack.local import LocalStack
from tests.integration.flink_jobs.stage import BASES, Stage, eventually, header, stream


@pytest.fixture(scope="session")
def make_stage(
    kafka_bootstrap: str, flink_rest_url: str, local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Stage]:
    """Make a stage of its own; the caller stops it."""
    cache = str(local_stack.settings.cache_dir)

    def make() -> Stage:
        return Stage(kafka_bootstrap, flink_rest_url, tmp_path_factory.mktemp("flink"), settings={"cache": cache})

    return make


@pytest.fixture
def stage(make_stage: Callable[[], Stage]) -> Iterator[Stage]:
    """A stage for one test, without topics and without a job."""
    made = make_stage()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def flowing() -> Callable[..., AbstractContextManager[tuple[list[str], list[bytes]]]]:
    """Write to a stage for as long as a block runs."""
    return stream


@pytest.fixture(scope="session")
def record() -> Callable[..., bytes]:
    """Return the value of a raw record: an id, and fields to change."""
    return header


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    """Wait until a question is answered with something true."""
    return eventually


@pytest.fixture(scope="module")
def routing(make_stage: Callable[[], Stage]) -> Iterator[Stage]:
    """The shipped filters, running; shared by the tests of one module."""
    made = make_stage()
    made.create_topics(*BASES)
    made.submit()
    yield made
    made.stop()
