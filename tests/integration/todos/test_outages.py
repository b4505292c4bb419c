"""A store that is away, or goes at some step: what is answered, and what is left."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from database import Deadline
from functions.todos import items, setup
from functions.todos.checker import check
from functions.todos.items import Items
from functions.todos.model import TodoInput
from tests.integration.todos.conftest import DynamoDb, World

Store = Literal["postgres", "dynamodb"]

BODIES: dict[str, Any] = {
    "POST /users": {"name": "Grace", "email": "grace@example.com"},
    "POST /users/{user}/todos": {"title": "New"},
    "PUT /todos/{todo}": {"title": "Changed"},
}
NEEDS: dict[str, tuple[Store, ...]] = {
    "POST /users": ("postgres",),
    "GET /users": ("postgres",),
    "GET /users/{user}": ("postgres",),
    "POST /users/{user}/todos": ("postgres", "dynamodb"),
    "GET /users/{user}/todos": ("dynamodb",),
    "GET /todos/{todo}": ("dynamodb",),
    "PUT /todos/{todo}": ("dynamodb",),
    "DELETE /todos/{todo}": ("dynamodb",),
    "GET /dashboard/{user}": ("postgres", "dynamodb"),
    "GET /demo": (),
}
ERRORS = {"postgres": "The user store cannot be reached", "dynamodb": "The todo store cannot be reached"}


def request(world: World, endpoint: str, user: str, todo: str, key: str | None = None) -> tuple[int, dict[str, Any]]:
    """Make the request of an endpoint."""
    method, path = endpoint.split(" ")
    return world.call(method, path.format(user=user, todo=todo), BODIES.get(endpoint), key)


@pytest.mark.parametrize("away", ["postgres", "dynamodb"])
def test_a_store_that_is_away_breaks_only_what_needs_it(world: World, away: Store) -> None:
    """Endpoints that need it answer 500 with an error and nothing of the inside, all others work (LC-134, LC-135)."""
    user = world.user()["id"]
    getattr(world, away).down()
    for endpoint, needs in NEEDS.items():
        world.dynamodb.heal()
        todo = "00000000-0000-4000-8000-000000000000"
        with world.table.batch_writer() as batch:
            batch.put_item(Item={"id": todo, "user_id": user, "status": "pending", "created_at": "2026", "title": "t"})
        getattr(world, away).down()
        status, said = request(world, endpoint, user, todo)
        if away in needs:
            assert (status, said) == (500, {"error": ERRORS[away], "retryable": True}), endpoint
        else:
            assert status in (200, 201), (endpoint, said)
    world.heal()
    assert world.call("GET", f"/dashboard/{user}")[0] == 200


@pytest.mark.parametrize("away", ["postgres", "dynamodb"])
def test_health_reports_the_other_store(world: World, away: Store) -> None:
    """503 names the store that is away and still reports the other; 200 when both are back (LC-134)."""
    names = {"postgres": "rds", "dynamodb": "dynamodb"}
    getattr(world, away).down()
    status, said = world.call("GET", "/health")
    assert (status, said["status"]) == (503, "unhealthy")
    assert set(said) == {"status", "timestamp", "checks"}
    for store, name in names.items():
        check_of = said["checks"][name]
        assert set(check_of) == {"status", "details"}
        assert check_of["status"] == ("unhealthy" if store == away else "healthy")
    world.heal()
    status, said = world.call("GET", "/health")
    assert (status, said["status"]) == (200, "healthy")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("endpoint", "store"),
    [
        ("POST /users", "postgres"),
        ("POST /users/{user}/todos", "postgres"),
        ("POST /users/{user}/todos", "dynamodb"),
        ("PUT /todos/{todo}", "dynamodb"),
        ("DELETE /todos/{todo}", "dynamodb"),
    ],
)
def test_a_request_may_be_repeated_after_any_cut(
    world: World, endpoint: str, store: Store, when: Literal["before", "after"]
) -> None:
    """Whether the store had done the work or not, the same request again succeeds, once in effect (LC-137)."""
    user = world.user()["id"]
    todo = world.todo(user)["id"]
    getattr(world, store).cut_next(when)
    first, said = request(world, endpoint, user, todo, "key")
    # PostgreSQL is asked once more by the request itself; DynamoDB's one try here has to be repeated by the caller.
    assert first == (201 if store == "postgres" else 500), said
    world.heal()
    status, said = request(world, endpoint, user, todo, "key")
    if endpoint.startswith("DELETE") and when == "after":
        # Its lookup was what was cut: the todo is still there.
        assert (status, said["deletedTodo"]["id"]) == (200, todo)
    else:
        assert status in (200, 201), said
    assert world.call("GET", f"/todos/{todo}")[0] == (404 if endpoint.startswith("DELETE") else 200)
    users = world.sql("SELECT id::text FROM users")
    assert len(users) == (2 if endpoint == "POST /users" else 1)
    assert len(world.stored()) == {"POST /users/{user}/todos": 2, "DELETE /todos/{todo}": 0}.get(endpoint, 1)


def test_a_key_names_one_request(world: World) -> None:
    """The same again gives the same answer, another content with the key is refused (LC-137)."""
    body = {"name": "Grace", "email": "grace@example.com"}
    first = world.call("POST", "/users", body, "key")
    assert world.call("POST", "/users", body, "key") == first
    assert world.call("POST", "/users", {**body, "name": "Other"}, "key")[0] == 409
    user = first[1]["user"]["id"]
    path = f"/users/{user}/todos"
    made = world.call("POST", path, {"title": "t"}, "key")
    assert world.call("POST", path, {"title": "t"}, "key") == made
    assert world.call("POST", path, {"title": "other"}, "key")[0] == 409
    for wrong in ("k" * 256, "\ud800"):
        assert world.call("POST", path, {"title": "t"}, wrong)[0] == 400
    assert len(world.stored()) == 1


def test_the_clients_own_second_try_is_no_conflict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write whose answer was lost is tried again inside the request, and answered as done (LC-137)."""
    user = world.user()["id"]
    settings = world.settings.model_copy(update={"dynamodb_max_attempts": 3})
    kept = Items(items.client(settings), settings.dynamodb_table_name, settings.dynamodb_user_index)
    todo = {"id": "11111111-1111-4111-8111-111111111111", "user_id": user, "title": "t", "status": "pending"}
    made = {**todo, "priority": "low", "created_at": "2026-01-01T00:00:00.000000Z", "updated_at": "x"}
    kept.describe()
    world.dynamodb.cut_next("after")
    assert kept.create(made)["title"] == "t"
    # Its lookup first, on a connection that is well; then the delete, cut after it was done.
    read = kept.get(made["id"])
    monkeypatch.setattr(kept, "get", lambda _identity: read)
    world.dynamodb.cut_next("after")
    assert kept.delete(made["id"]) == read
    assert world.stored() == {}


def test_dynamodb_is_killed_between_the_steps_of_a_create(world: World, dynamodb_local: DynamoDb) -> None:
    """What was answered 201 outlives a kill, what failed is created by the repeated request (LC-137)."""
    user = world.user()["id"]
    kept = world.todo(user)
    dynamodb_local.kill()
    status, said = world.call("POST", f"/users/{user}/todos", {"title": "t"}, "key")
    assert (status, said["error"]) == (500, ERRORS["dynamodb"])
    assert world.call("GET", f"/users/{user}")[0] == 200
    dynamodb_local.start()
    status, said = world.call("POST", f"/users/{user}/todos", {"title": "t"}, "key")
    assert status == 201
    assert set(world.stored()) == {kept["id"], said["todo"]["id"]}
    assert world.call("GET", f"/todos/{kept['id']}") == (200, {"todo": kept})


def test_a_killed_session_of_postgresql_is_replaced(world: World) -> None:
    """Every session ended by the server: the next request opens another one (LC-136, LC-137)."""
    user = world.user()["id"]
    for _ in range(3):
        world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert world.call("POST", f"/users/{user}/todos", {"title": "t"})[0] == 201
    assert world.application.system.pool.free == 5


def test_connections_go_back_on_every_path(world: World) -> None:
    """After conflicts, refusals, cuts and a server that is away, all five are free and work (LC-136)."""
    pool = world.application.system.pool
    taken = world.user()["email"]
    for round_ in range(7):
        world.call("POST", "/users", {"name": "Again", "email": taken})
        world.call("GET", "/users/17")
        world.postgres.cut_next("before" if round_ % 2 else "after")
        world.call("GET", "/users")
        world.postgres.down()
        assert world.call("GET", "/users")[0] == 500
        world.postgres.heal()
    assert pool.free == 5
    assert world.call("GET", "/users")[0] == 200
    (row,) = world.sql(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND client_port IS NOT NULL AND pid <> pg_backend_pid()"
    )
    assert row[0] <= 5


def test_the_setup_waits_for_a_store_that_is_still_starting(world: World) -> None:
    """One that cuts every connection at first is asked again, longer than a request would (LC-126)."""
    world.dynamodb.down()
    refused = world.dynamodb.refused
    healer = threading.Thread(target=lambda: refused.wait(20) and world.dynamodb.heal())
    healer.start()
    setup.create_items(world.settings, items.client(world.settings))
    healer.join()
    assert refused.is_set()


def test_a_missing_table_is_a_failure_without_the_inside(world: World) -> None:
    """A store that refuses is a 500 with `error`: no SQL, no stack (LC-135)."""
    world.sql("DROP TABLE users")
    status, said = world.call("GET", "/users")
    assert (status, said) == (500, {"error": ERRORS["postgres"], "retryable": True})
    # The log says what it was.
    assert 'relation \\"users\\" does not exist' in world.log.getvalue()


def test_an_unforeseen_failure_says_nothing_of_the_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 with `error` alone; the log has the stack (LC-135)."""

    def broken(*_: object) -> None:
        raise KeyError("inside")

    monkeypatch.setattr(Items, "get", broken)
    todo = "00000000-0000-4000-8000-000000000000"
    assert world.call("GET", f"/todos/{todo}") == (500, {"error": "Internal server error"})
    assert "KeyError" in world.log.getvalue()


def test_a_store_that_is_away_proves_no_orphan(world: World) -> None:
    """The checker removes nothing while users cannot be asked for (LC-137)."""
    user = world.user()["id"]
    world.todo(user)
    world.postgres.down()
    system = world.application.system
    with pytest.raises(Exception, match="The user store cannot be reached"):
        check(system.users, system.items, system.now, 0, repair=True)
    assert len(world.stored()) == 1


def test_a_user_who_vanishes_in_the_middle_of_a_create_leaves_what_the_checker_takes(world: World) -> None:
    """The one step between the stores: the todo is left, protected while it is young, then removed (LC-137)."""
    user = world.user()["id"]
    system = world.application.system

    def vanish() -> datetime:
        # The moment of the write is asked for after the user was seen.
        world.sql("DELETE FROM users WHERE id = %s", user)
        return datetime.now(UTC)

    todo = replace(system, now=vanish).create_todo(user, TodoInput(title="t"), None, Deadline.after(20))
    assert todo is not None
    assert world.stored() == {todo["id"]: user}
    young = check(system.users, system.items, system.now, 900, repair=True)
    assert (young.young, young.orphans) == (1, 0)
    later = check(system.users, system.items, lambda: datetime.now(UTC) + timedelta(hours=1), 900, repair=True)
    assert (later.orphans, later.repaired, world.stored()) == (1, 1, {})


def test_a_user_deleted_and_made_again_with_the_key_keeps_the_todos(world: World) -> None:
    """The same key is the same id, so what looked like orphans has its user again (LC-137)."""
    body = {"name": "Grace", "email": "grace@example.com"}
    user = world.call("POST", "/users", body, "key")[1]["user"]["id"]
    world.todo(user)
    world.sql("DELETE FROM users")
    assert world.call("POST", "/users", body, "key")[1]["user"]["id"] == user
    system = world.application.system
    assert check(system.users, system.items, system.now, 0, repair=True).orphans == 0
    assert world.call("GET", f"/dashboard/{user}")[1]["todoStats"]["total"] == 1
