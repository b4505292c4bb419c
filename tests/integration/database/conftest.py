"""Links to a fresh database of the embedded PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from database import DatabaseSettings, Direct, Links

MakeLinks = Callable[..., Links]


@pytest.fixture
def make_links(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeLinks]:
    """Make links with the given settings, such as `db_idle_check=0.001`; closed after the test."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    with ExitStack() as made:

        def make(**settings: object) -> Links:
            given = DatabaseSettings.model_validate({"database_url": database_url, **settings})
            links = Links(Direct.of(given), given.limits)
            made.callback(links.close)
            return links

        yield make
