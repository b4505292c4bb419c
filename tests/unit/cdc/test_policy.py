"""Every kind of error has a decision; what waiting cures is tried again, the rest stops with a remedy."""

from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from cdc.engine import Engine
from cdc.errors import BrokerError, CdcError, DatabaseError, Kind
from cdc.kafka import _ClientLog, broker_error
from cdc.policy import Retry, Stop, decide
from cdc.postgres import connect, kind_of, translated
from cdc.settings import Settings
from cdc.shutdown import Shutdown, StopRequested


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_decided(kind: Kind) -> None:
    """A remedy is a sentence; a retry is patient but not lazy."""
    match decide(kind):
        case Stop(remedy):
            assert remedy.endswith((".", "seen."))
        case Retry(first, longest):
            assert 0 < first <= longest <= 10


@pytest.mark.parametrize(
    ("sqlstate", "text", "kind"),
    [
        (None, "connection refused", Kind.DATABASE_UNREACHABLE),
        (None, "the database system is starting up", Kind.DATABASE_UNREACHABLE),
        (None, 'FATAL:  password authentication failed for user "u"', Kind.CREDENTIALS),
        (None, 'no pg_hba.conf entry for replication connection from host "h"', Kind.CREDENTIALS),
        (None, "FATAL:  permission denied to start WAL sender", Kind.REPLICATION_RIGHT),
        (None, "SSL error: certificate verify failed", Kind.TLS),
        (None, 'server certificate for "a" does not match host name "b"', Kind.TLS),
        (None, 'root certificate file "ca.pem" does not exist', Kind.TLS),
        (None, "server does not support SSL, but SSL was required", Kind.TLS),
        (None, "FATAL:  number of requested standby connections exceeds max_wal_senders", Kind.DATABASE_BUSY),
        ("57P01", "terminating connection due to administrator command", Kind.CONNECTION_LOST),
        ("57P03", "the database system is shutting down", Kind.DATABASE_UNREACHABLE),
        ("55006", 'replication slot "s" is active for PID 1', Kind.SLOT_ACTIVE),
        ("42710", 'replication slot "s" already exists', Kind.SLOT_ACTIVE),
        ("42704", 'replication slot "s" does not exist', Kind.SLOT_LOST),
        ("42704", 'publication "p" does not exist', Kind.PUBLICATION),
        ("55000", 'can no longer get changes from replication slot "s"', Kind.SLOT_INVALIDATED),
        ("55000", 'logical decoding requires "wal_level" >= "logical"', Kind.WAL_LEVEL),
        ("53400", "all replication slots are in use", Kind.NO_FREE_SLOT),
        ("53300", "sorry, too many clients already", Kind.DATABASE_BUSY),
        ("42501", "permission denied for table t", Kind.REPLICATION_RIGHT),
        ("40001", "could not serialize access", Kind.DATABASE_BUSY),
        ("XX000", "cache lookup failed", Kind.DATABASE),
    ],
)  # fmt: skip
def test_an_error_of_the_server_has_its_kind(sqlstate: str | None, text: str, kind: Kind) -> None:
    """By its SQLSTATE; by its text only where one state stands for several faults, or there is none."""
    assert kind_of(sqlstate, text) is kind


def test_a_database_error_keeps_its_cause() -> None:
    """What the driver said is the cause and the text."""
    with pytest.raises(DatabaseError, match="boom") as caught, translated():
        raise psycopg.OperationalError("boom")
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)


def test_what_the_driver_refuses_is_not_tried_again() -> None:
    """A statement that cannot even be sent is a fault of ours, not of the network."""
    with pytest.raises(DatabaseError) as caught, translated():
        raise psycopg.ProgrammingError("only '%s' is allowed as a placeholder")
    assert caught.value.kind is Kind.DATABASE


def test_a_malformed_connection_string_does_not_leak() -> None:
    """The driver's text would quote it, password included."""
    with pytest.raises(CdcError) as caught:
        connect("host=h password='hunter2")
    assert caught.value.kind is Kind.SETTINGS
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, Kind.RECORD_TOO_LARGE),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, Kind.TOPIC),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Kind.TOPIC_RIGHT),
        (KafkaError._AUTHENTICATION, Kind.BROKER_CREDENTIALS),
        (KafkaError._ALL_BROKERS_DOWN, Kind.BROKER_UNREACHABLE),
        (KafkaError.INVALID_RECORD, Kind.BROKER),
    ],
)
def test_an_error_of_the_broker_has_its_kind(code: int, kind: Kind) -> None:
    """By its code, whether it comes as an error or as an exception."""
    error = KafkaError(code)
    assert broker_error(error).kind is kind
    assert broker_error(KafkaException(error)).kind is kind


def test_a_fatal_error_of_the_producer_is_cured_by_a_new_one() -> None:
    """The next session asks the topics where they stand, so starting over is safe."""
    assert broker_error(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True)).kind is Kind.PRODUCER_FAILED
    assert isinstance(decide(Kind.PRODUCER_FAILED), Retry)


def test_the_client_log_does_not_flood() -> None:
    """A broker that is away costs one line in ten seconds, with the number left out."""
    now = [0.0]
    log = _ClientLog(clock=lambda: now[0])
    with capture_logs() as lines:
        for now[0] in (0, 1, 2, 9, 11, 12):
            log.log(40, "%s", "FAIL", "client", "refused")
        log.log(40, "%s", "ERROR", "client", "all down")
        log.log(30, "%s", "CONFWARN", "client", "experimental")
    assert [(line["facility"], line["withheld"]) for line in lines] == [("FAIL", 0), ("FAIL", 3), ("ERROR", 0)]


class Scripted(Engine):
    """An engine whose sessions end as a script says."""

    def __init__(self, shutdown: Shutdown, *outcomes: Exception | Callable[[], None]) -> None:
        super().__init__(Settings(database_url="postgresql://h/d", kafka_bootstrap_servers="k:1"), shutdown)
        self.outcomes = list(outcomes)

    def _session(self) -> None:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        outcome()


class Patience(Shutdown):
    """A shutdown whose pauses take no time and are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        """Keep the pause instead of taking it."""
        self.check()
        self.pauses.append(seconds)


def test_what_may_pass_is_tried_until_it_does() -> None:
    """Session after session, with pauses that grow to their bound (CD-10)."""
    shutdown = Patience()
    away = BrokerError(Kind.BROKER_UNREACHABLE, "away")
    engine = Scripted(shutdown, *[away] * 12, lambda: None)
    engine.run()
    assert engine.outcomes == []
    assert shutdown.pauses[0] < 1
    assert max(shutdown.pauses) <= 10.2


def test_a_standby_looks_every_second() -> None:
    """An active slot is asked for often, however long it takes, so that taking over is quick."""
    shutdown = Patience()
    Scripted(shutdown, *[DatabaseError(Kind.SLOT_ACTIVE, "active")] * 50, lambda: None).run()
    assert max(shutdown.pauses) <= 1.2


def test_what_does_not_pass_stops_at_once() -> None:
    """One try, and the error with its kind."""
    shutdown = Patience()
    with pytest.raises(CdcError) as caught:
        Scripted(shutdown, CdcError(Kind.WAL_LEVEL, "replica")).run()
    assert caught.value.kind is Kind.WAL_LEVEL
    assert shutdown.pauses == []


def test_a_stop_ends_the_retries_in_order() -> None:
    """A signal while the engine waits for a database that is away is an orderly end."""
    shutdown = Patience()
    shutdown.request()
    Scripted(shutdown, DatabaseError(Kind.DATABASE_UNREACHABLE, "away")).run()


def test_a_stop_interrupts_only_where_it_may() -> None:
    """The loop asks by itself; a query or a pause is interrupted."""
    shutdown = Shutdown()
    with pytest.raises(StopRequested), shutdown.interruptible():
        shutdown.request()
    shutdown.request()
    assert shutdown()
    with pytest.raises(StopRequested):
        shutdown.pause(60)
