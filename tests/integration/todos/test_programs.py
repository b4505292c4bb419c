"""The system from outside: as a Lambda under load, the demo client, the checker and the set-up as commands."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from functions.todos import checker, demo_client
from stack.ports import free_ports
from tests.gateway import Context, event_of
from tests.integration.lambdas.conftest import Service
from tests.integration.todos.conftest import World

NAMES = [
    "RDS_HOST",
    "RDS_PORT",
    "RDS_DATABASE",
    "RDS_USERNAME",
    "RDS_PASSWORD",
    "DB_SSL_MODE",
    "DYNAMODB_TABLE_NAME",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
]
USERS, TODOS = 12, 5


def function(**settings: Any) -> dict[str, Any]:
    """Return the settings of the Lambda, its environment that of this process."""
    environment = {name: os.environ[name] for name in NAMES}
    own = {"handler": "functions.todos.handler.handler", "memory_mb": 512, "timeout_seconds": 30}
    return {**own, "environment": environment, **settings}


def test_concurrent_users_lose_and_mix_nothing(world: World, tmp_path: Path) -> None:
    """Twelve users at once over four instances of the real Lambda: each finds their own todos, all (LC-120, LC-140)."""
    with closing(Service(tmp_path, {"todos": function(concurrency=4)})) as service:
        turn = threading.Semaphore(4)

        def call(method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
            headers = {"idempotency-key": key} if key else {}
            event = event_of(method, path, headers, json.dumps(body) if body else None)
            with turn:
                answered = service.invoke(event, "todos")["value"]
            return answered["statusCode"], json.loads(answered["body"])

        def life(number: int) -> tuple[str, list[str]]:
            status, said = call("POST", "/users", {"name": f"User {number}", "email": f"load-{number}@example.com"})
            assert status == 201, said
            user = said["user"]["id"]
            ids = []
            for place in range(TODOS):
                # Sent twice, as a client does that did not hear the answer.
                twice = [call("POST", f"/users/{user}/todos", {"title": f"{number}"}, f"{place}") for _ in range(2)]
                assert [status for status, _ in twice] == [201, 201]
                ids.append(twice[0][1]["todo"]["id"])
            assert call("PUT", f"/todos/{ids[0]}", {"status": "completed"})[0] == 200
            assert call("DELETE", f"/todos/{ids[1]}")[0] == 200
            stats = call("GET", f"/dashboard/{user}")[1]["todoStats"]
            assert (stats["total"], stats["completed"]) == (TODOS - 1, 1)
            return user, [ids[0], *ids[2:]]

        with ThreadPoolExecutor(USERS) as pool:
            lives = list(pool.map(life, range(USERS)))
        logged = [line for line in service.logged("function_log") if '"request_id"' in str(line)]
    assert world.stored() == {todo: user for user, ids in lives for todo in ids}
    assert len(world.sql("SELECT 1 FROM users")) == USERS
    assert logged, "the function's own lines, as Lambda would take them to CloudWatch (LC-141)"


@pytest.fixture
def url(world: World, tmp_path: Path) -> Iterator[str]:
    """The API on a port of this machine, as docs/todos.md serves it."""
    (port,) = free_ports(1)
    apis = {"todos": {"port": port, "function": "todos"}}
    with closing(Service(tmp_path, {"todos": function()}, apis)):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short walk."""
    for name, value in (("DEMO_USERS_COUNT", "2"), ("DEMO_TODOS_PER_USER", "3"), ("OPERATION_INTERVAL_MS", "1")):
        monkeypatch.setenv(name, value)


def test_the_demo_client_walks_through_everything(
    world: World, url: str, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """It creates, changes, deletes and reads as often as asked, then looks at health, and exits with 0 (LC-139)."""
    assert demo_client.main(["--url", url, "--checks", "3"]) == 0
    assert capsys.readouterr().out.count("both stores are healthy") == 3
    assert len(world.sql("SELECT 1 FROM users")) == 2
    assert len(world.stored()) == 2 * (3 - 1)


def test_the_demo_client_has_the_defaults_of_the_spec() -> None:
    """Five users, three todos each, health every five seconds (LC-139)."""
    settings = demo_client.DemoSettings()
    assert (settings.demo_users_count, settings.demo_todos_per_user) == (5, 3)
    assert settings.operation_interval_ms == 5000


def test_the_demo_client_fails_on_a_mismatch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong number in an answer is an error that names it (LC-139)."""

    def answer(request: httpx.Request) -> httpx.Response:
        event = event_of(request.method, str(request.url), dict(request.headers), request.content.decode() or None)
        answered = world.application.answer(event, Context(20))
        return httpx.Response(answered["statusCode"], text=answered["body"])

    monkeypatch.setattr("functions.todos.system.overdue", lambda *_: True)
    with httpx.Client(base_url="http://todos", transport=httpx.MockTransport(answer)) as http:
        walk = demo_client.Walk(http, lambda _: None)
        with pytest.raises(demo_client.MismatchError, match="the numbers of the dashboard"):
            walk.user(1, 2)


def test_the_demo_client_fails_on_an_absence(world: World, url: str, small: None) -> None:
    """A store that is away, an API that is away: never 0 (LC-139)."""
    world.dynamodb.down()
    assert demo_client.main(["--url", url, "--checks", "1"]) == 1
    assert demo_client.main(["--url", "http://127.0.0.1:1", "--checks", "1"]) == 3


def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a module as a command."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], env={**os.environ, **changes}, capture_output=True, text=True, check=False
    )


def test_the_checker_finds_and_repairs_from_a_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and the orphans, then a repair and 0; young ones wait for their time (LC-137)."""
    user = world.user()["id"]
    orphan = world.todo(user)["id"]
    kept = world.todo(world.user()["id"])["id"]
    world.sql("DELETE FROM users WHERE id = %s", user)
    young = run("functions.todos.checker", "--repair", "--json")
    assert (young.returncode, json.loads(young.stdout)["young"]) == (0, 1), young.stderr
    found = run("functions.todos.checker", "--json", ORPHAN_GRACE_SECONDS="0")
    assert (found.returncode, json.loads(found.stdout)["examples"]) == (1, [orphan])
    repaired = run("functions.todos.checker", "--repair", ORPHAN_GRACE_SECONDS="0")
    assert (repaired.returncode, repaired.stdout) == (
        0,
        "2 todos, 1 without a user, 1 of them removed, 0 too young to judge\n",
    )
    assert set(world.stored()) == {kept}
    world.postgres.down()
    assert checker.main([]) == 2
    assert "The user store cannot be reached" in capsys.readouterr().err
    monkeypatch.setenv("RDS_HOST", "")
    assert (checker.main([]), capsys.readouterr().err) == (3, "RDS_HOST: Field required\n")


def test_the_checker_runs_as_a_scheduled_function(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handler repairs, unless the event says to look only, and logs what it did (LC-137, LC-141)."""
    monkeypatch.setenv("ORPHAN_GRACE_SECONDS", "0")
    checker.prepared.cache_clear()
    log = io.StringIO()
    checker.prepared()[2].registered_handler.setStream(log)  # type: ignore[attr-defined]
    user = world.user()["id"]
    world.todo(user)
    world.sql("DELETE FROM users WHERE id = %s", user)
    context = Context(60)
    assert checker.handler({"repair": False}, context)["orphans"] == 1
    assert checker.handler({"source": "aws.events"}, context)["repaired"] == 1
    assert world.stored() == {}
    assert json.loads(log.getvalue().splitlines()[-1])["request_id"] == context.aws_request_id
    checker.prepared()[1].pool.close()
    checker.prepared.cache_clear()


def test_the_tables_are_set_up_from_a_terminal(world: World) -> None:
    """A command creates both, and may be repeated; a store that refuses is named (LC-125, LC-126)."""
    table = f"todos-{uuid4().hex}"
    for _ in range(2):
        done = run("functions.todos.setup", DYNAMODB_TABLE_NAME=table)
        assert (done.returncode, done.stdout) == (0, f"the table of users and {table} are there\n"), done.stderr
    world.dynamodb.down()
    done = run("functions.todos.setup", DYNAMODB_TABLE_NAME=table, SETUP_SECONDS="2")
    assert done.returncode == 1
    assert "cannot be created" in done.stderr
    world.table.meta.client.delete_table(TableName=table)
