"""A connection that breaks never loses, repeats or falsely refuses an event (EV-26 to EV-28, EV-40, EV-58, EV-61)."""

from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest

import schemas
from producer.api import Wake

CAR = schemas.samples()["car-created"]
HEADERS = {
    "Content-Type": "application/json",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
}
UNREACHABLE = {
    "error": "Service Temporarily Unavailable",
    "message": (
        "Unable to connect to the database. The database may be starting. Please retry your request in a few moments."
    ),
    "status": 503,
    "retry_after": 60,
}


@pytest.fixture
def broken(make_producer: Any, relay: Any, database_url: str) -> Any:
    """A producer whose connections go through the relay."""
    return make_producer(relay.url(database_url))


@pytest.fixture
def unreachable(make_producer: Any, relay: Any, database_url: str) -> Any:
    """Make a producer whose database refuses connections."""

    def make(**more: Any) -> Any:
        relay.close()
        return make_producer(relay.url(database_url), **more)

    return make


@pytest.mark.parametrize("prepare", ["true", "false"])
def test_an_event_committed_unseen_is_answered_as_success(
    prepare: str, make_producer: Any, relay: Any, database_url: str
) -> None:
    """The connection dies after the commit: the retry finds its own work, once in every table (EV-58, EV-61)."""
    producer = make_producer(relay.url(database_url), DB_PREPARE_STATEMENTS=prepare)
    relay.break_at(CAR["eventHeader"]["uuid"], answered=True)
    reply = producer.post(CAR)
    assert (reply.status, reply.body["event_id"]) == (200, CAR["eventHeader"]["uuid"])
    assert relay.connections == 2
    assert producer.counts() == (1, 1, 1)


def test_an_event_with_filled_in_id_and_dates_is_recognised_too(broken: Any, relay: Any) -> None:
    """What the producer filled in is part of the event, and the same in every attempt (EV-15, EV-16, EV-61)."""
    event = {"eventHeader": {"eventName": "n"}, "entities": CAR["entities"]}
    relay.break_at(CAR["entities"][0]["vin"], answered=True, times=2)
    reply = broken.post(event)
    assert reply.status == 200
    assert broken.rows("SELECT id FROM event_headers") == [(reply.body["event_id"],)]


def test_an_event_that_never_arrived_is_sent_again(broken: Any, relay: Any) -> None:
    """The connection dies before the statement: the third attempt stores it (EV-58)."""
    relay.break_at(CAR["eventHeader"]["uuid"], answered=False, times=2)
    assert broken.post(CAR).status == 200
    assert relay.connections == 3
    assert broken.counts() == (1, 1, 1)


@pytest.mark.parametrize("answered", [True, False])
def test_an_id_that_another_event_took_is_a_conflict_after_a_retry_too(
    answered: bool, broken: Any, relay: Any, producer: Any
) -> None:
    """The stored event is not this one, so the doubt ends as a duplicate (EV-24, EV-61)."""
    other = deepcopy(CAR)
    other["entities"][0]["color"] = "red"
    assert producer.post(other).status == 200
    relay.break_at(CAR["eventHeader"]["uuid"], answered=answered)
    assert broken.post(CAR).status == 409
    assert producer.rows("SELECT entity_data ->> 'color' FROM entities") == [("red",)]


def test_the_same_event_posted_again_is_a_conflict_when_nothing_broke(broken: Any) -> None:
    """Equal content alone makes no success (EV-24, EV-61)."""
    assert [broken.post(CAR).status for _ in range(2)] == [200, 409]


def test_three_lost_answers_are_a_503_and_one_event(broken: Any, relay: Any) -> None:
    """Nobody can tell in this request; the sender's own repetition learns of the duplicate (EV-28, EV-58)."""
    relay.break_at(CAR["eventHeader"]["uuid"], answered=True, times=3)
    reply = broken.post(CAR)
    assert (reply.status, reply.body) == (503, UNREACHABLE)
    assert broken.counts() == (1, 1, 1)
    assert broken.post(CAR).status == 409


def test_an_array_survives_broken_connections(broken: Any, relay: Any) -> None:
    """Unseen commits and lost statements in the middle: all processed, none twice (EV-34, EV-61)."""
    events = [{**CAR, "eventHeader": {**CAR["eventHeader"], "uuid": str(uuid4())}} for _ in range(6)]
    for number, answered in ((1, True), (3, False), (5, True)):
        relay.break_at(events[number]["eventHeader"]["uuid"], answered=answered)
    reply = broken.post_all(events)
    assert (reply.body["processed"], reply.body["errors"]) == (6, [])
    assert broken.counts() == (6, 6, 1)


def test_a_backend_ended_between_two_requests_goes_unnoticed(broken: Any, producer: Any) -> None:
    """The stale connection is rebuilt before use (LC-8)."""
    assert broken.post(CAR).status == 200
    producer.rows("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'headwater'")
    assert broken.post(schemas.samples()["loan-created"]).status == 200


def test_an_unreachable_database_is_a_503_with_a_minute_to_wait(unreachable: Any) -> None:
    """Word for word, for one event and for an array of which none was processed (EV-28, EV-40)."""
    producer = unreachable()
    for reply in (producer.post(CAR), producer.post_all([CAR, CAR])):
        assert (reply.status, reply.body) == (503, UNREACHABLE)
        assert reply.headers == {**HEADERS, "Retry-After": "60"}


WOKEN = {
    Wake.STARTING: (120, "The database is currently starting. Please retry your request in 1-2 minutes."),
    Wake.RESUMING: (60, "The database is currently scaling up. Please retry your request in 30-60 seconds."),
    Wake.UNKNOWN: (60, UNREACHABLE["message"]),
}


@pytest.mark.parametrize("said", Wake)
def test_the_waker_is_asked_once_and_decides_the_answer(said: Wake, unreachable: Any) -> None:
    """Once in a request, array or not; starting and resuming have answers of their own (EV-26, EV-27, EV-40, LC-20)."""
    asked: list[Wake] = []

    def waker() -> Wake:
        asked.append(said)
        return said

    producer = unreachable(waker=waker)
    for reply in (producer.post(CAR), producer.post_all([CAR] * 5)):
        wait, message = WOKEN[said]
        assert reply.status == 503
        assert reply.headers["Retry-After"] == str(wait)
        assert reply.body == {
            "error": "Service Temporarily Unavailable",
            "message": message,
            "status": 503,
            "retry_after": wait,
        }
    assert len(asked) == 2


def test_a_waker_that_fails_changes_nothing(unreachable: Any) -> None:
    """The sender gets the plain 503 (LC-24)."""

    def waker() -> Wake:
        raise TimeoutError

    assert unreachable(waker=waker).post(CAR).body == UNREACHABLE


def test_health_of_an_unreachable_database_wakes_nobody(unreachable: Any) -> None:
    """503 with the text of the failure, and no start of a stopped database (EV-43, LC-72)."""
    asked: list[int] = []
    reply = unreachable(waker=lambda: asked.append(1)).call("GET", "/health")
    assert (reply.status, reply.headers) == (503, HEADERS)
    assert reply.body.keys() == {"status", "message", "error"}
    assert (reply.body["status"], reply.body["message"]) == ("unhealthy", "Database connection failed")
    assert "refused" in reply.body["error"]
    assert asked == []


def test_a_refused_password_is_no_503_and_is_not_told(make_producer: Any, database_url: str) -> None:
    """An operator must act: 500 at once, without credentials (EV-25, LC-21)."""
    wrong = database_url.replace("postgres@", "nobody:hunter2@")
    reply = make_producer(wrong).post(CAR)
    assert reply.status == 500
    assert reply.body["error"].startswith("Error processing event: ")
    assert "hunter2" not in str(reply.body)
    assert "nobody" not in str(reply.body)


def test_a_lost_connection_in_the_middle_of_an_array_fails_what_is_left_in_time(
    broken: Any, relay: Any, producer: Any
) -> None:
    """Processed events are told as processed; the request does not outlive its time (EV-34, EV-40)."""
    events = [{**CAR, "eventHeader": {**CAR["eventHeader"], "uuid": str(uuid4())}} for _ in range(4)]
    relay.break_at(events[1]["eventHeader"]["uuid"], answered=False, times=3)
    relay.break_at(events[3]["eventHeader"]["uuid"], answered=False, times=3)
    reply = broken.post_all(events)
    assert (reply.status, reply.body["processed"], reply.body["failed"]) == (200, 2, 2)
    assert [error.split(":")[0] for error in reply.body["errors"]] == ["Event 1", "Event 3"]
    assert producer.counts() == (2, 2, 1)
