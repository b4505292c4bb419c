"""Who gets through the gateway with libpq, and who does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import psycopg
import pytest

from database import Deadline, Failure, IamToken, Limits, TlsSettings, classify, connect
from tests.waiting import eventually

from .conftest import KEYS, MASTER_PASSWORD, REGION, Gateway


@pytest.fixture(autouse=True)
def _role(gateway: Gateway) -> None:
    gateway.database.make_iam_user()


@pytest.mark.parametrize("key", KEYS)
def test_a_role_with_rds_iam_logs_in_with_a_token(key: str, gateway: Gateway) -> None:
    """Over verified TLS, as itself; with temporary credentials too (LC-92, LC-100, LC-101)."""
    with gateway.connect(password=gateway.token(key)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (gateway.database.iam_user,)
        assert connection.pgconn.ssl_in_use
        large = "x" * 3_000_000
        assert connection.execute("SELECT %s || 'y'", (large,)).fetchone() == (large + "y",)
    assert [line["by"] for line in gateway.logged("login")] == ["token"]


def test_the_servers_certificate_is_verified(gateway: Gateway, tmp_path: Any) -> None:
    """Another authority, or another name of the host, ends the attempt before a token is sent (LC-11, LC-92)."""
    assert "certificate verify failed" in gateway.refusal(sslrootcert="system")
    assert "does not match host name" in gateway.refusal(host="localhost.localdomain", hostaddr="127.0.0.1")
    assert gateway.logged("login") == gateway.logged("login_refused") == []


def test_a_login_without_tls_is_refused(gateway: Gateway) -> None:
    """Before a password is asked for (LC-11, LC-100)."""
    assert "no encryption" in gateway.refusal(sslmode="disable")
    assert [line["reason"] for line in gateway.logged("login_refused")] == ["no TLS"]


def test_an_old_token_is_refused(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 15 minutes, by the clock of the gateway; the client learns no more than RDS tells (LC-101)."""
    then = datetime.now(UTC) - timedelta(seconds=901)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: then)
    with pytest.raises(psycopg.OperationalError) as refused:
        gateway.connect()
    assert f'PAM authentication failed for user "{gateway.database.iam_user}"' in str(refused.value)
    assert classify(refused.value) is Failure.DENIED
    assert [line["reason"] for line in gateway.logged("login_refused")] == ["it has expired"]


def test_a_token_for_another_host_or_role_is_refused(gateway: Gateway) -> None:
    """A token holds for what it names (LC-101)."""
    assert "PAM authentication failed" in gateway.refusal(password=gateway.token(host="127.0.0.1"))
    assert "PAM authentication failed" in gateway.refusal(password=gateway.token(user=gateway.database.master))
    reasons = [line["reason"] for line in gateway.logged("login_refused")]
    assert reasons == ["it is for another host or port", "it is for another user"]


def test_a_password_is_no_way_in_for_a_role_with_rds_iam(gateway: Gateway) -> None:
    """Its own of the server, and the master user's, are refused (LC-100)."""
    role = gateway.database.iam_user
    gateway.database.ask(f"ALTER ROLE {role} PASSWORD 'known'")
    for password in ("known", MASTER_PASSWORD, ""):
        assert gateway.refusal(password=password or "x")
    gateway.connect().close()


def test_the_master_user_logs_in_with_its_password(gateway: Gateway) -> None:
    """And with nothing else, nor does a token make it one; other roles without rds_iam stay outside (LC-109)."""
    master = gateway.database.master
    with gateway.connect(user=master, password=MASTER_PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (master,)
    assert "password authentication failed" in gateway.refusal(user=master, password="guessed")
    assert "password authentication failed" in gateway.refusal(user=master)
    for role in ("postgres", "nobody_at_all"):
        assert f'role "{role}" is not permitted to log in through the gateway: grant rds_iam' in gateway.refusal(
            user=role
        )


def test_a_role_gets_rds_iam_through_another_role(gateway: Gateway) -> None:
    """Membership counts through roles between, and from the next login on (LC-109)."""
    database = gateway.database
    role = database.iam_user
    database.ask(f"REVOKE rds_iam FROM {role}")
    assert "is not permitted to log in" in gateway.refusal()
    database.ask(f"CREATE ROLE {role}_group")
    try:
        database.ask(f"GRANT rds_iam TO {role}_group")
        database.ask(f"GRANT {role}_group TO {role}")
        gateway.connect().close()
    finally:
        database.ask(f"DROP ROLE {role}_group")


def test_what_the_server_refuses_reaches_the_client(gateway: Gateway) -> None:
    """Such as a database that is not there, with the server's own words."""
    assert 'database "nowhere" does not exist' in gateway.refusal(dbname="nowhere")


def test_each_connection_has_a_token_of_its_own(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second connection, 20 minutes later, is not stopped by the age of the first one's token (LC-101)."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIALOCAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["AKIALOCAL"]["secret_key"])
    tls = TlsSettings(db_ssl_root_cert=str(gateway.ca)).parameters()
    database = gateway.database
    address = IamToken("localhost", gateway.port, database.iam_user, database.name, REGION, tls)
    now = datetime.now(UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now - timedelta(minutes=20))
    with pytest.raises(psycopg.OperationalError, match="PAM"):
        connect(address, Limits(), Deadline.after(20))
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    first = address.parameters()["password"]
    connect(address, Limits(), Deadline.after(20)).close()
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now + timedelta(seconds=2))
    connect(address, Limits(), Deadline.after(20)).close()
    assert address.parameters()["password"] != first
    assert len(gateway.logged("login")) == 2


def test_a_query_can_be_cancelled(gateway: Gateway) -> None:
    """A request to cancel reaches the server, over TLS and without (LC-111)."""
    with gateway.connect() as connection:
        for cancel in (connection.cancel_safe, connection.cancel):
            pid = connection.info.backend_pid
            connection.pgconn.send_query(b"SELECT pg_sleep(60)")
            query = (
                "SELECT state FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%pg_sleep(60)' AND state='active'"
            )
            eventually(lambda pid=pid, query=query: gateway.database.ask(query, pid), "the query runs")
            cancel()
            result = connection.pgconn.get_result()
            assert result is not None
            assert b"canceling statement" in result.error_message
            assert connection.pgconn.get_result() is None
