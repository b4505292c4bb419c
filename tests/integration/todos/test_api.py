"""The API over both stores, request by request."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from functions.todos import items, setup
from functions.todos.api import ENDPOINTS
from functions.todos.items import Items
from tests.integration.todos.conftest import World

NOBODY = "00000000-0000-4000-8000-000000000000"


def test_every_endpoint_is_reached_by_its_exact_path(world: World) -> None:
    """All eleven answer, without path parameters of the gateway (LC-120, LC-121, LC-122)."""
    user = world.user()
    todo = world.todo(user["id"])
    ids = {"GET /users/{id}": user["id"], "GET /dashboard/{id}": user["id"], "GET /users/{id}/todos": user["id"]}
    assert len(ENDPOINTS) == 11
    for endpoint in ENDPOINTS:
        method, path = endpoint.split(" ")
        path = path.replace("{id}", ids.get(endpoint, user["id"] if "users" in path else todo["id"]))
        status, said = world.call(method, path, "no JSON" if method in ("POST", "PUT") else None)
        assert status == (400 if method in ("POST", "PUT") else 200), (endpoint, said)
    for method, path in (
        ("GET", "/nothing"),
        ("PATCH", "/users"),
        ("GET", f"/users/{user['id']}/todos/x"),
        ("GET", "/"),
    ):
        status, said = world.call(method, path)
        assert (status, said) == (404, {"error": "Endpoint not found", "supportedEndpoints": list(ENDPOINTS)})


def test_a_user_is_created_read_and_listed(world: World) -> None:
    """The answers have the shapes of the spec; pages follow limit and offset (LC-121, LC-128, LC-129)."""
    body = {"name": "Ada Lovelace", "email": "ada@example.com", "department": "Engines"}
    status, said = world.call("POST", "/users", body)
    assert (status, said["message"]) == (201, "User created successfully")
    user = said["user"]
    assert {name: user[name] for name in body} == body
    assert world.call("GET", f"/users/{user['id']}") == (200, {"user": user})
    later = world.user()
    assert [each["id"] for each in world.call("GET", "/users")[1]["users"]] == [later["id"], user["id"]]
    status, page = world.call("GET", "/users?limit=1&offset=1")
    assert (status, page) == (200, {"users": [user], "count": 1, "limit": 1, "offset": 1})
    assert world.call("GET", "/users?limit=0")[0] == 400
    assert world.call("GET", "/users?offset=minus")[0] == 400


def test_an_address_belongs_to_one_user_in_whatever_case(world: World) -> None:
    """The same address is a conflict, compared without case (LC-128)."""
    world.user(email="Ada@Example.com")
    status, said = world.call("POST", "/users", {"name": "Other", "email": "aDA@example.COM"})
    assert (status, said) == (409, {"error": "User with this email already exists"})


WRONG_USERS: list[tuple[Any, str]] = [
    ({"name": "A", "email": "a@example.com"}, "name"),
    ({"name": "A" * 256, "email": "a@example.com"}, "name"),
    ({"name": "Ada", "email": "nobody"}, "email"),
    ({"name": "Ada", "email": f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 63}.com"}, "email"),
    ({"name": "Ada", "email": "a@example.com", "department": "d" * 101}, "department"),
    ({"name": "Ada\x00", "email": "a@example.com"}, "name"),
    ({"name": "Ada\ud800", "email": "a@example.com"}, "name"),
    ({}, "name"),
    ([], "body"),
]


def test_a_wrong_user_is_refused(world: World) -> None:
    """400 with a finding for the field (LC-127)."""
    for body, field in WRONG_USERS:
        status, said = world.call("POST", "/users", body)
        assert (status, said["error"]) == (400, "Invalid user data"), body
        assert any(finding.startswith(f"{field}:") for finding in said["details"]), body
    assert world.sql("SELECT 1 FROM users") == []


WRONG_TODOS: list[tuple[Any, str]] = [
    ({"title": ""}, "title"),
    ({"title": "t" * 256}, "title"),
    ({"title": "t", "description": "d" * 1001}, "description"),
    ({"title": "t", "status": "done"}, "status"),
    ({"title": "t", "priority": "soon"}, "priority"),
    ({"title": "t", "due_date": "tomorrow"}, "due_date"),
    ({"title": "t", "due_date": 20261231}, "due_date"),
    ({"title": None}, "title"),
]


def test_a_wrong_todo_is_refused(world: World) -> None:
    """400 with a finding for the field, at a create and at an update (LC-130, LC-132)."""
    user = world.user()
    todo = world.todo(user["id"])
    for body, field in WRONG_TODOS:
        for method, path in (("POST", f"/users/{user['id']}/todos"), ("PUT", f"/todos/{todo['id']}")):
            status, said = world.call(method, path, body)
            assert (status, said["error"]) == (400, "Invalid todo data"), body
            assert said["details"][0].startswith(f"{field}:"), body
    assert world.call("GET", f"/todos/{todo['id']}")[1]["todo"] == todo


def test_a_todo_is_created_listed_changed_and_deleted(world: World) -> None:
    """The life of a todo, with the shapes of the spec (LC-126, LC-130, LC-131, LC-132)."""
    user = world.user()
    path = f"/users/{user['id']}/todos"
    status, said = world.call("POST", path, {"title": "First", "due_date": "2026-12-31T10:00:00+02:00"})
    assert (status, said["message"]) == (201, "Todo created successfully")
    first = said["todo"]
    assert set(first) == set(items.FIELDS)
    assert (first["status"], first["priority"], first["description"]) == ("pending", "medium", None)
    assert first["due_date"] == "2026-12-31T08:00:00.000000Z"
    second = world.todo(user["id"], title="Second", status="completed")
    assert world.call("GET", path) == (
        200,
        {"userId": user["id"], "todos": [second, first], "count": 2, "filter": "all"},
    )
    status, listed = world.call("GET", f"{path}?status=completed")
    assert (listed["todos"], listed["count"], listed["filter"]) == ([second], 1, "completed")
    assert world.call("GET", f"{path}?status=done")[0] == 400

    status, said = world.call("PUT", f"/todos/{first['id']}", {"title": "New", "due_date": None, "user_id": NOBODY})
    assert (status, said["message"]) == (200, "Todo updated successfully")
    assert said["todo"] == {**first, "title": "New", "due_date": None, "updated_at": said["todo"]["updated_at"]}
    assert said["todo"]["updated_at"] > first["updated_at"]
    for nothing in ({}, {"user_id": NOBODY, "created_at": "x"}):
        assert world.call("PUT", f"/todos/{first['id']}", nothing)[0] == 400

    status, gone = world.call("DELETE", f"/todos/{first['id']}")
    assert (status, gone) == (200, {"message": "Todo deleted successfully", "deletedTodo": said["todo"]})
    for method, body in (("GET", None), ("PUT", {"title": "x"}), ("DELETE", None)):
        assert world.call(method, f"/todos/{first['id']}", body) == (
            404,
            {"error": "Todo not found", "todoId": first["id"]},
        )
        assert world.call(method, "/todos/no-id", body) == (404, {"error": "Todo not found", "todoId": "no-id"})


def test_an_unknown_user_is_not_found_and_a_bad_id_is_a_bad_request(world: World) -> None:
    """404 names the user, 400 is for what is no id (LC-129, LC-131, LC-133)."""
    for method, path in (("GET", "/users/{}"), ("POST", "/users/{}/todos"), ("GET", "/dashboard/{}")):
        body = {"title": "t"} if method == "POST" else None
        assert world.call(method, path.format(NOBODY), body) == (404, {"error": "User not found", "userId": NOBODY})
        assert world.call(method, path.format("17"), body)[0] == 400
    assert world.stored() == {}


def test_the_dashboard_counts_and_shows_the_last_changes(world: World) -> None:
    """Numbers by status, overdue without closed ones, five todos by their newest change (LC-133)."""
    user = world.user()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    today = datetime.now(UTC).date().isoformat()
    todos = [
        world.todo(user["id"], title=f"{place}", status=status, due_date=due)
        for place, (status, due) in enumerate(
            [
                ("pending", yesterday),
                ("in_progress", yesterday),
                ("completed", yesterday),
                ("cancelled", yesterday),
                ("pending", today),
                ("pending", None),
            ]
        )
    ]
    world.call("PUT", f"/todos/{todos[0]['id']}", {"priority": "high"})
    status, board = world.call("GET", f"/dashboard/{user['id']}")
    assert status == 200
    assert board["user"] == user
    assert board["todoStats"] == {"total": 6, "pending": 3, "in_progress": 1, "completed": 1, "overdue": 2}
    assert [todo["title"] for todo in board["recentTodos"]] == ["0", "5", "4", "3", "2"]
    assert set(board) == {"user", "todoStats", "recentTodos", "generatedAt"}


def test_reads_follow_pages_to_the_end(world: World) -> None:
    """A list longer than DynamoDB's page of 1 MB is whole, and health reads no item (LC-138)."""
    user = world.user()
    with world.table.batch_writer() as batch:
        for number in range(4):
            made = {"id": str(uuid4()), "user_id": user["id"], "title": "t", "description": "d" * 350_000}
            batch.put_item(Item={**made, "status": "pending", "created_at": f"2026-01-01T00:00:00.{number:06}Z"})
    calls: list[str] = []
    client = items.client(world.settings)
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    kept = Items(client, world.settings.dynamodb_table_name, world.settings.dynamodb_user_index)
    assert len(kept.of_user(user["id"])) == 4
    assert calls.count("Query") > 1
    calls.clear()
    kept.describe()
    assert calls == ["DescribeTable"]


def test_the_tables_are_as_described_and_may_be_set_up_again(world: World) -> None:
    """A second set-up changes nothing, and no column is for passwords (LC-125, LC-126, LC-142)."""
    kept = world.user()
    setup.create_users(world.settings)
    setup.create_items(world.settings, items.client(world.settings))
    assert world.call("GET", f"/users/{kept['id']}")[0] == 200
    columns = world.sql(
        "SELECT column_name, data_type, character_maximum_length, is_nullable FROM information_schema.columns"
        " WHERE table_name = 'users' ORDER BY ordinal_position"
    )
    assert columns == [
        ("id", "uuid", None, "NO"),
        ("name", "character varying", 255, "NO"),
        ("email", "character varying", 255, "NO"),
        ("department", "character varying", 100, "YES"),
        ("created_at", "timestamp with time zone", None, "NO"),
        ("updated_at", "timestamp with time zone", None, "NO"),
    ]
    definitions = " ".join(row[0] for row in world.sql("SELECT indexdef FROM pg_indexes WHERE tablename = 'users'"))
    for column in ("(id)", "(email)", "(department)", "(created_at)", "(lower((email)::text))"):
        assert column in definitions
    world.table.reload()
    assert world.table.key_schema == [{"AttributeName": "id", "KeyType": "HASH"}]
    (index,) = world.table.global_secondary_indexes
    assert index["IndexName"] == "UserTodosIndex"
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["user_id", "created_at"]
