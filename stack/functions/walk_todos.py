"""Owns the walk through the todo system: users in PostgreSQL, todos in DynamoDB."""

from typing import Any, Final
from uuid import uuid4

from stack.functions.reach import Reach
from stack.functions.walk import Walk, expect, wait_until

_GRACE_SECONDS: Final = 30


def walk(reach: Reach, steps: Walk) -> None:
    """Make a user and todos, change and delete, read the dashboard, and look for orphans."""

    def call(method: str, path: str, status: int, body: Any = None) -> Any:
        answer = reach.call(reach.settings.todos_url, method, path, body)
        expect(answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def look() -> Any:
        return reach.invoke("todos-checker", {"repair": False})

    with steps.step("GET /health") as saw:
        checks = call("GET", "/health", 200)["checks"]
        saw.text = ", ".join(f"{store} {check['status']}" for store, check in checks.items())
    with steps.step("POST /users") as saw:
        email = f"ada-{uuid4().hex[:8]}@example.com"
        user = call("POST", "/users", 201, {"name": "Ada Lovelace", "email": email, "department": "Engines"})["user"]
        saw.text = f"user {user['id']}"
    with steps.step("the same address in capitals") as saw:
        saw.text = call("POST", "/users", 409, {"name": "Ada Again", "email": email.upper()})["error"]
    with steps.step("three todos, one completed, one deleted") as saw:
        todos = [
            call("POST", f"/users/{user['id']}/todos", 201, {"title": title, "priority": "high"})["todo"]
            for title in ("read", "write", "rest")
        ]
        call("PUT", f"/todos/{todos[0]['id']}", 200, {"status": "completed"})
        call("DELETE", f"/todos/{todos[2]['id']}", 200)
        listed = call("GET", f"/users/{user['id']}/todos", 200)
        expect(listed["count"] == 2, str(listed))
        saw.text = ", ".join(f"{todo['title']}: {todo['status']}" for todo in listed["todos"])
    with steps.step("GET /dashboard/{id}") as saw:
        stats = call("GET", f"/dashboard/{user['id']}", 200)["todoStats"]
        expect((stats["total"], stats["completed"], stats["pending"]) == (2, 1, 1), str(stats))
        saw.text = str(stats)
    with steps.step("the user vanishes from PostgreSQL; the checker finds the todos and repairs") as saw:
        with reach.database("todos") as database:
            database.execute("DELETE FROM users WHERE id = %s", (user["id"],))
        # It leaves todos alone that are younger than its grace period.
        wait_until(lambda: look()["orphans"] == 2, "the checker does not find the two orphans", _GRACE_SECONDS)
        report = look()
        repaired = reach.invoke("todos-checker", {"repair": True})
        again = look()
        found = (report["orphans"], repaired["repaired"], again["orphans"])
        expect(found == (2, 2, 0), f"found, repaired and left: {found}")
        saw.text = f"{report['checked']} todos looked at, 2 orphans found, 2 removed, none left"
