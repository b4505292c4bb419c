"""One connection is reused, proved alive before use, and rebuilt when it is not (LC-7, LC-8)."""

import socket
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors

from database import DatabaseSettings, Deadline, Direct, Failure, Link, Links, classify

MakeLinks = Callable[..., Links]
SOON = 20.0


def _pid(link: Link) -> int:
    row = link.connection(Deadline.after(SOON)).execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    pid: int = row[0]
    return pid


def test_one_connection_serves_every_use(make_links: MakeLinks) -> None:
    """The same backend answers, use after use (LC-8)."""
    link = make_links().mine()
    assert len({_pid(link) for _ in range(5)}) == 1


def test_each_thread_has_a_connection_of_its_own(make_links: MakeLinks) -> None:
    """Threads never share one (LC-8)."""
    links = make_links()
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(_pid(links.mine()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*pids, _pid(links.mine())}) == 4


def _terminate(database_url: str, pid: int) -> None:
    """End a backend and wait until the server no longer knows it."""
    with psycopg.connect(database_url, autocommit=True) as admin:
        row = admin.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,)).fetchone()
        assert row == (True,)


def test_a_connection_that_the_server_ended_is_rebuilt(make_links: MakeLinks, database_url: str) -> None:
    """The farewell lies in the socket: it is seen before use, and the use succeeds (LC-8)."""
    link = make_links().mine()
    before = _pid(link)
    _terminate(database_url, before)
    assert _pid(link) != before


def test_a_connection_left_in_a_transaction_is_rebuilt(make_links: MakeLinks) -> None:
    """Nobody inherits a transaction that somebody forgot (LC-8)."""
    link = make_links().mine()
    before = _pid(link)
    link.connection(Deadline.after(SOON)).execute("BEGIN")
    assert _pid(link) != before


def test_a_long_idle_connection_is_proved_by_a_round_trip(make_links: MakeLinks, database_url: str) -> None:
    """After the idle limit a use first asks the server: two statements arrive instead of one (LC-8)."""
    always, never = make_links(db_idle_check=1e-9).mine(), make_links(db_idle_check=3600).mine()
    for link, last_statement in ((always, "SELECT 1"), (never, "SELECT 'mine'")):
        pid = _pid(link)
        link.connection(Deadline.after(SOON)).execute("SELECT 'mine'")
        link.connection(Deadline.after(SOON))
        with psycopg.connect(database_url) as admin:
            row = admin.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
        assert row == (last_statement,)


def test_a_discarded_connection_is_closed_and_replaced(make_links: MakeLinks) -> None:
    """Whoever saw it fail drops it; the next use opens another."""
    link = make_links().mine()
    old = link.connection(Deadline.after(SOON))
    link.discard()
    assert old.closed
    assert link.connection(Deadline.after(SOON)) is not old


def test_closing_all_links_closes_their_connections(make_links: MakeLinks) -> None:
    """At the end no connection is left."""
    links = make_links()
    connection = links.mine().connection(Deadline.after(SOON))
    links.close()
    assert connection.closed


def test_the_server_stops_a_statement_that_takes_too_long(make_links: MakeLinks) -> None:
    """The statement timeout is the server's, and its error is a timeout (LC-7)."""
    link = make_links(db_statement_timeout=0.05).mine()
    with pytest.raises(errors.QueryCanceled) as caught:
        link.connection(Deadline.after(SOON)).execute("SELECT pg_sleep(10)")
    assert classify(caught.value) is Failure.TIMEOUT
    row = make_links().mine().connection(Deadline.after(SOON)).execute("SHOW statement_timeout").fetchone()
    assert row == ("30s",)


@pytest.mark.parametrize(("on", "prepared"), [(True, 1), (False, 0)])
def test_prepared_statements_can_be_switched_off(on: bool, prepared: int, make_links: MakeLinks) -> None:
    """Off means that no named statement pins a proxied session (IN-53)."""
    connection = make_links(db_prepare_statements=on).mine().connection(Deadline.after(SOON))
    for number in range(8):
        connection.execute("SELECT %s::int", (number,))
    row = connection.execute("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql", prepare=False).fetchone()
    assert row == (prepared,)


def _settings(url: str, **more: object) -> DatabaseSettings:
    return DatabaseSettings.model_validate({"database_url": url, **more})


def test_a_refused_connection_is_a_connection_failure() -> None:
    """Nobody listens: refused at once, and told apart (LC-20)."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        settings = _settings(f"postgresql://u:x@127.0.0.1:{held.getsockname()[1]}/d")
        with pytest.raises(psycopg.OperationalError) as caught:
            Link(Direct.of(settings), settings.limits).connection(Deadline.after(SOON))
    assert classify(caught.value) is Failure.CONNECTION


def test_a_silent_server_costs_the_connect_timeout_and_no_more() -> None:
    """Accepted and never answered: a connection failure within the timeout (LC-7, LC-20)."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = _settings(f"postgresql://u:x@127.0.0.1:{silent.getsockname()[1]}/d", db_connect_timeout=2)
        began = time.monotonic()
        with pytest.raises(errors.ConnectionTimeout) as caught:
            Link(Direct.of(settings), settings.limits).connection(Deadline.after(SOON))
    assert time.monotonic() - began < 5
    assert classify(caught.value) is Failure.CONNECTION


@pytest.mark.parametrize("wrong", ["postgresql://nobody:hunter2@{at}", "postgresql://postgres:hunter2@{host}/nowhere"])
def test_a_server_that_says_no_is_not_a_connection_failure(wrong: str, database_url: str) -> None:
    """Unknown role or database: an operator must act, and a retry or a start would not help (LC-21)."""
    at = database_url.split("@", 1)[1]
    settings = _settings(wrong.format(at=at, host=at.split("/", maxsplit=1)[0]))
    link = Link(Direct.of(settings), settings.limits)
    with pytest.raises(psycopg.OperationalError) as caught:
        link.connection(Deadline.after(SOON))
    assert classify(caught.value) is Failure.DENIED
    assert "hunter2" not in link.public_text(caught.value)
    assert '"nobody"' not in link.public_text(caught.value)
