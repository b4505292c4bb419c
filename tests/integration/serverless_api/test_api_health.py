"""Health of the process and of the database, and the scripts of an operator."""

import socket
import time
from typing import Any

import psycopg
import pytest

from functions.serverless_api.application import create_application
from functions.serverless_api.scripts import check_connection, rebuild


def test_the_process_is_healthy_without_any_database(make_database: Any) -> None:
    """200, although nothing can be connected to; the second route says so (LC-156, LC-163)."""
    client = create_application(make_database(DB_PORT=1)).test_client()
    answer = client.get("/api/health")
    assert (answer.status_code, answer.json) == (200, {"status": "healthy"})
    answer = client.get("/api/health/database")
    assert (answer.status_code, answer.json) == (503, {"status": "unhealthy", "reason": "connection"})


def test_a_database_that_answers_is_healthy(client: Any) -> None:
    """200, with the time it took (LC-163)."""
    answer = client.get("/api/health/database")
    assert (answer.status_code, answer.json["status"]) == (200, "healthy")
    assert answer.json["milliseconds"] > 0


def test_a_silent_database_is_unhealthy_in_time(make_database: Any) -> None:
    """Accepted and never answered: 503 once the timeout is over, the second time too (LC-163)."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = make_database(DB_PORT=silent.getsockname()[1], DB_HEALTH_SECONDS="0.3", DB_CONNECT_TIMEOUT="30")
        client = create_application(database).test_client()
        for _ in range(2):
            began = time.monotonic()
            answer = client.get("/api/health/database")
            assert time.monotonic() - began < 10
            assert (answer.status_code, answer.json["reason"]) == (503, "no answer within 0.3 s")


def test_the_connection_test_tells_method_wake_time_and_version(
    make_database: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """And never the password, also when it fails (LC-160)."""
    make_database(DB_PASSWORD="hunter2")
    assert check_connection.main() == 0
    told = capsys.readouterr()
    lines = dict(line.split(": ", 1) for line in told.out.splitlines())
    assert lines["method"] == "direct"
    assert lines["awake after"].endswith(" s")
    assert lines["server version"].startswith("18")
    make_database(DB_PASSWORD="hunter2", DB_NAME="nowhere")
    assert check_connection.main() == 1
    failed = capsys.readouterr()
    assert "(denied)" in failed.err
    assert "hunter2" not in told.out + told.err + failed.out + failed.err


def test_the_connection_test_names_what_is_not_set(
    make_database: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 (LC-160)."""
    make_database()
    monkeypatch.setenv("USE_LOCAL_DB", "false")
    for name in ("DB_HOST", "DB_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert check_connection.main() == 2
    assert "set DB_HOST, DB_PASSWORD" in capsys.readouterr().err


def test_rebuilding_leaves_the_seed_rows_alone(
    database: Any, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After consent only, and once more for a database that is not of this machine (LC-164)."""
    create_application(database).test_client().post(
        "/api/vehicles", json={"vin": "WVWZZZ1JZXW999999", "make": "a", "model": "b", "year": 2000}
    )
    assert rebuild.main([]) == 2
    assert _numbers(database_url) == ["WVWZZZ1JZXW999999"]
    assert rebuild.main(["--yes"]) == 0
    assert _numbers(database_url) == ["1FTFW1E50NFA00001", "WDB11111111111111", "WVWZZZ1JZXW000001"]
    for name, value in {"USE_LOCAL_DB": "false", "DB_SSL_MODE": "disable", "DB_PASSWORD": "x"}.items():
        monkeypatch.setenv(name, value)
    assert rebuild.main(["--yes"]) == 2
    assert "--cloud" in capsys.readouterr().err
    assert rebuild.main(["--yes", "--cloud"]) == 0


def _numbers(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute('SELECT vin FROM vehicles ORDER BY vin COLLATE "C"')]
