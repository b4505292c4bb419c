"""Whatever ends in the middle of a callback, its session gets a result or a clear error, and nothing is left."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from psycopg import errors

from tests.integration.callbacks.bridges import Bridge, asked, callee, nothing_left, running
from tests.integration.lambdas.conftest import Service
from tests.waiting import eventually

SESSIONS = 200
TIMEOUT_MS = 4000
NAP = "SELECT payload FROM aws_lambda.invoke('callee', %s::jsonb)"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s AND state = 'active'"
)

UNREACHED = "Unable to connect to endpoint"
CUT_OFF = "The connection ended before the answer"
ENDED = "The callback bridge ended while it had this call."
ABSENT = "The callback bridge does not run"
TIMED_OUT = "Timeout was reached"


@dataclass(frozen=True, slots=True)
class End:
    """How one session's call ended, and after how many seconds."""

    number: int
    seconds: float
    result: int | None
    error: str | None


def many(url: str, in_the_middle: Callable[[], object]) -> list[End]:
    """Let 200 sessions call once each at the same time, and do something after the first have their result."""
    together = Barrier(SESSIONS + 1)
    ends: list[End] = []

    def call(number: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SET aws_lambda.request_timeout_ms = {TIMEOUT_MS}")
            together.wait(60)
            began = time.monotonic()
            try:
                event = json.dumps({"do": "nap", "seconds": 0.05, "number": number})
                row = connection.execute(NAP, (event,)).fetchone()
            except errors.SystemError as error:
                ends.append(End(number, time.monotonic() - began, None, error.diag.message_detail))
            else:
                assert row is not None
                ends.append(End(number, time.monotonic() - began, row[0], None))

    with ThreadPoolExecutor(SESSIONS) as threads:
        calls = [threads.submit(call, number) for number in range(SESSIONS)]
        together.wait(60)
        eventually(lambda: len(ends) >= 10, "the first results")
        in_the_middle()
        for each in calls:
            each.result(60)
    return ends


def judge(ends: list[End], *allowed: str) -> Counter[str]:
    """Check every end: the right result, or an error of the allowed ones, in time; count them."""
    assert len(ends) == SESSIONS
    assert [each for each in ends if each.error is None and each.result != each.number] == []
    # What a machine that is busy with 200 threads needs beyond it.
    assert max(each.seconds for each in ends) < TIMEOUT_MS / 1000 + 3
    found = [
        next((one for one in allowed if one in (each.error or one)), each.error or "") for each in ends if each.error
    ]
    assert set(found) <= set(allowed)
    return Counter(found)


def test_a_killed_lambda_service_leaves_no_session_without_an_end(
    database: str, tmp_path: Path, closing: ExitStack, record_property: Callable[[str, object], None]
) -> None:
    """Results, or errors that say the endpoint is gone, each in time; then no row and no slot is left (LC-98)."""
    service = Service(tmp_path, {"callee": callee()}, concurrency=8)
    closing.callback(service.close)
    bridge = Bridge(database, service.url, tmp_path / "bridge.log", concurrency=8).ready()
    closing.callback(bridge.close)
    ends = many(database, service.process.kill)
    found = judge(ends, UNREACHED, CUT_OFF, TIMED_OUT)
    assert found[UNREACHED] > 0
    record_property("figure", f"killed Lambda service: {SESSIONS - found.total()} results, {dict(found)}")
    eventually(lambda: nothing_left(database), "no answer and no slot is left")


def test_a_killed_bridge_leaves_no_session_without_an_end(
    database: str, lambdas: Service, tmp_path: Path, closing: ExitStack, record_property: Callable[[str, object], None]
) -> None:
    """Results, or errors that name the bridge long before the timeout; its successor leaves no row or slot (LC-98)."""
    bridge = Bridge(database, lambdas.url, tmp_path / "bridge.log", concurrency=8).ready()
    closing.callback(bridge.close)
    ends = many(database, lambda: bridge.close(signal.SIGKILL))
    found = judge(ends, ENDED, ABSENT)
    assert found[ENDED] > 0
    record_property("figure", f"killed bridge: {SESSIONS - found.total()} results, {dict(found)}")
    assert not running(database)
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    eventually(lambda: asked(database, slots) == (0,), "the temporary slot is gone")
    successor = Bridge(database, lambdas.url, tmp_path / "bridge.log").ready()
    closing.callback(successor.close)
    eventually(lambda: nothing_left(database), "no answer and no slot is left")


def test_a_bridge_that_is_not_there_is_named_at_once(database: str) -> None:
    """The error comes after the connect timeout, names the bridge and how to start it (LC-98)."""
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("SET aws_lambda.connect_timeout_ms = 50")
        began = time.monotonic()
        with pytest.raises(errors.SystemError) as raised:
            session.execute("SELECT aws_lambda.invoke('callee', '1'::json)")
    assert time.monotonic() - began < 1
    assert ABSENT in str(raised.value.diag.message_detail)
    assert "python -m callbacks.bridge" in str(raised.value.diag.message_hint)


@pytest.mark.parametrize("how", ["cancel", "terminate", "statement timeout"])
def test_a_cancelled_call_frees_everything(
    database: str, lambdas: Service, tmp_path: Path, closing: ExitStack, how: str
) -> None:
    """However the session stops waiting, it is free at once, and what the function answers later is swept (LC-98)."""
    bridge = Bridge(database, lambdas.url, tmp_path / "bridge.log").ready()
    closing.callback(bridge.close)
    event = json.dumps({"do": "nap", "seconds": 0.5, "number": 1})
    with psycopg.connect(database, autocommit=True) as session, ThreadPoolExecutor(1) as threads:
        session.execute("SET aws_lambda.request_timeout_ms = 1000")
        if how == "statement timeout":
            session.execute("SET statement_timeout = 100")
        call = threads.submit(session.execute, NAP, (event,))
        pid = session.info.backend_pid
        if how != "statement timeout":
            eventually(lambda: asked(database, WAITING, NAP.replace("%s", "$1") + "%") == (1,), "the session waits")
            asked(database, f"SELECT pg_{how}_backend({pid})")
        with pytest.raises((errors.QueryCanceled, psycopg.OperationalError)):
            call.result(5)
        if how != "terminate":
            session.execute("SET statement_timeout = 0")
            assert session.execute(NAP, ("2",)).fetchone() == (2,)
    eventually(lambda: nothing_left(database), "the late answer is swept")


def test_more_sessions_than_instances_wait_their_turn(
    database: str, lambdas: Service, tmp_path: Path, closing: ExitStack
) -> None:
    """A function that may run once at a time answers ten sessions: a refusal as too many is tried again (LC-98)."""
    bridge = Bridge(database, lambdas.url, tmp_path / "bridge.log").ready()
    closing.callback(bridge.close)

    def call(number: int) -> int:
        event = json.dumps({"do": "nap", "seconds": 0.02, "number": number})
        result: int = asked(database, NAP.replace("callee", "single"), event)[0]
        return result

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(call, range(10))) == list(range(10))


def test_a_second_bridge_waits_and_takes_over(
    database: str, lambdas: Service, tmp_path: Path, closing: ExitStack
) -> None:
    """Two bridges never read the same calls; the second is ready when the first has ended (LC-98)."""
    first = Bridge(database, lambdas.url, tmp_path / "first.log").ready()
    closing.callback(first.close)
    second = Bridge(database, lambdas.url, tmp_path / "second.log")
    closing.callback(second.close)
    eventually(lambda: "another bridge runs" in second.log.read_text(), "the second waits")
    assert asked(database, NAP, "1") == (1,)
    assert first.close() == 0
    eventually(lambda: "bridge_ready" in second.log.read_text(), "the second is ready")
    assert asked(database, NAP, "2") == (2,)


def test_a_bridge_that_loses_its_database_session_comes_back(
    database: str, lambdas: Service, tmp_path: Path, closing: ExitStack
) -> None:
    """After the walsender is ended the bridge is a new generation, by itself, and calls go on (LC-98)."""
    bridge = Bridge(database, lambdas.url, tmp_path / "bridge.log").ready()
    closing.callback(bridge.close)
    asked(
        database,
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()",
    )
    eventually(lambda: bridge.log.read_text().count("bridge_ready") == 2, "it is back")
    assert asked(database, NAP, "3") == (3,)
