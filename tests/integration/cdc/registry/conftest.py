"""A real schema registry for the engine's tests."""

from collections.abc import Callable, Iterator

import pytest

from stack.settings import StackSettings
from tests.registry import RunningRegistry, registries


@pytest.fixture(scope="session")
def new_registry(stack_settings: StackSettings) -> Iterator[Callable[[], RunningRegistry]]:
    """A maker of registries that are not started yet."""
    with registries(stack_settings.cache_dir) as make:
        yield make


@pytest.fixture(scope="session")
def registry(new_registry: Callable[[], RunningRegistry]) -> RunningRegistry:
    """The registry of the session."""
    made = new_registry()
    made.start()
    return made
