"""The endpoints (LC-120 to LC-122, LC-127 to LC-135).

Owns paths, status codes and the shapes of answers. Every route is an exact method and path; ids come from the path
itself, so a gateway with one catch-all route and no path parameters is enough. A failure's answer has `error`, and
nothing of the inside.
"""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from pydantic import BaseModel, ValidationError

from database import Deadline
from functions.todos.faults import EmailTakenError, KeyReusedError, StoreUnavailableError
from functions.todos.model import STATUSES, TodoChanges, TodoInput, UserInput, findings, identity
from functions.todos.system import System

ENDPOINTS: Final = (
    "GET /health",
    "GET /demo",
    "POST /users",
    "GET /users",
    "GET /users/{id}",
    "POST /users/{id}/todos",
    "GET /users/{id}/todos",
    "GET /todos/{id}",
    "PUT /todos/{id}",
    "DELETE /todos/{id}",
    "GET /dashboard/{id}",
)

_DEFAULT_PAGE: Final = 50
_LARGEST_PAGE: Final = 100
_LARGEST_OFFSET: Final = 1_000_000
_LONGEST_KEY: Final = 255

_M = TypeVar("_M", bound=BaseModel)


class AnswerError(Exception):
    """An answer that ends a request early."""

    def __init__(self, status: int, **body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def answer(status: int, body: dict[str, Any]) -> Response[str]:
    """Return a JSON answer; it is never to be cached."""
    text = json.dumps(body, separators=(",", ":"))
    return Response(status, "application/json", text, headers={"Cache-Control": "no-store"})


def failed(error: Exception, logger: Logger) -> Response[str]:
    """Return what a caller is told of a failure, and log the rest (LC-135)."""
    match error:
        case AnswerError():
            return answer(error.status, error.body)
        case EmailTakenError():
            return answer(409, {"error": "User with this email already exists"})
        case KeyReusedError():
            return answer(409, {"error": "Idempotency-Key was used for another request"})
        case StoreUnavailableError():
            logger.error("store_unavailable", store=error.store, reason=error.reason)
            return answer(500, {"error": str(error), "retryable": True})
        case _:
            logger.error("request_failed", exc_info=error)
            return answer(500, {"error": "Internal server error"})


class Api:
    """Answer requests with a system of stores; `deadline` gives that of the request under way."""

    def __init__(self, system: System, deadline: Callable[[], Deadline]) -> None:
        self._system = system
        self._deadline = deadline
        self.router = self._routes()

    def _routes(self) -> Router:
        router = Router()  # type: ignore[no-untyped-call]
        router.get("/health")(self._health)
        router.get("/demo")(self._demo)
        router.post("/users")(self._create_user)
        router.get("/users")(self._list_users)
        router.get("/users/<user_id>")(self._get_user)
        router.post("/users/<user_id>/todos")(self._create_todo)
        router.get("/users/<user_id>/todos")(self._list_todos)
        router.get("/todos/<todo_id>")(self._get_todo)
        router.put("/todos/<todo_id>")(self._update_todo)
        router.delete("/todos/<todo_id>")(self._delete_todo)
        router.get("/dashboard/<user_id>")(self._dashboard)
        return router

    def _health(self) -> Response[str]:
        well, body = self._system.health()
        return answer(200 if well else 503, body)

    def _demo(self) -> Response[str]:
        user = {"name": "Ada Lovelace", "email": "ada@example.com", "department": "Engineering"}
        todo = {"title": "Write the first program", "priority": "high", "due_date": "2026-12-31"}
        steps = [
            {"request": "POST /users", "body": user},
            {"request": "POST /users/{id}/todos", "body": todo},
            {"request": "PUT /todos/{id}", "body": {"status": "completed"}},
            {"request": "GET /dashboard/{id}"},
        ]
        return answer(200, {"message": "Try these, in this order", "steps": steps, "endpoints": list(ENDPOINTS)})

    def _create_user(self) -> Response[str]:
        given = self._body(UserInput, "Invalid user data")
        user = self._system.create_user(given, self._key(), self._deadline())
        return answer(201, {"message": "User created successfully", "user": user})

    def _list_users(self) -> Response[str]:
        limit = self._number("limit", _DEFAULT_PAGE, 1, _LARGEST_PAGE)
        offset = self._number("offset", 0, 0, _LARGEST_OFFSET)
        found = self._system.users.page(limit, offset, self._deadline())
        return answer(200, {"users": found, "count": len(found), "limit": limit, "offset": offset})

    def _get_user(self, user_id: str) -> Response[str]:
        known = _user_id(user_id)
        user = self._system.users.get(known, self._deadline())
        if user is None:
            raise _no_user(known)
        return answer(200, {"user": user})

    def _create_todo(self, user_id: str) -> Response[str]:
        known = _user_id(user_id)
        given = self._body(TodoInput, "Invalid todo data")
        todo = self._system.create_todo(known, given, self._key(), self._deadline())
        if todo is None:
            raise _no_user(known)
        return answer(201, {"message": "Todo created successfully", "todo": todo})

    def _list_todos(self, user_id: str) -> Response[str]:
        known = _user_id(user_id)
        status = self._query().get("status")
        if status is not None and status not in STATUSES:
            raise AnswerError(400, error="Invalid status", details=[f"status: one of {', '.join(STATUSES)}"])
        todos = self._system.items.of_user(known, status)
        return answer(200, {"userId": known, "todos": todos, "count": len(todos), "filter": status or "all"})

    def _get_todo(self, todo_id: str) -> Response[str]:
        known = identity(todo_id)
        todo = self._system.items.get(known) if known else None
        if todo is None:
            raise _no_todo(todo_id)
        return answer(200, {"todo": todo})

    def _update_todo(self, todo_id: str) -> Response[str]:
        changes = self._body(TodoChanges, "Invalid todo data").given()
        if not changes:
            wanted = ", ".join(TodoInput.model_fields)
            raise AnswerError(400, error="Invalid todo data", details=[f"body: at least one of {wanted}"])
        known = identity(todo_id)
        todo = self._system.update_todo(known, changes) if known else None
        if todo is None:
            raise _no_todo(todo_id)
        return answer(200, {"message": "Todo updated successfully", "todo": todo})

    def _delete_todo(self, todo_id: str) -> Response[str]:
        known = identity(todo_id)
        todo = self._system.items.delete(known) if known else None
        if todo is None:
            raise _no_todo(todo_id)
        return answer(200, {"message": "Todo deleted successfully", "deletedTodo": todo})

    def _dashboard(self, user_id: str) -> Response[str]:
        known = _user_id(user_id)
        board = self._system.dashboard(known, self._deadline())
        if board is None:
            raise _no_user(known)
        return answer(200, board)

    def _body(self, model: type[_M], error: str) -> _M:
        try:
            value = json.loads(self.router.current_event.decoded_body or "")
        except (ValueError, RecursionError):
            raise AnswerError(400, error="Request body is not valid JSON") from None
        try:
            return model.model_validate(value)
        except ValidationError as faults:
            raise AnswerError(400, error=error, details=findings(faults)) from None

    def _query(self) -> dict[str, str]:
        return dict(self.router.current_event.query_string_parameters or {})

    def _number(self, name: str, default: int, least: int, most: int) -> int:
        text = self._query().get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
            raise AnswerError(400, error="Invalid query", details=[f"{name}: a whole number from {least} to {most}"])
        return int(text)

    def _key(self) -> str | None:
        headers = self.router.current_event.headers or {}
        key = next((value for name, value in headers.items() if name.lower() == "idempotency-key"), None)
        if key is not None and not (1 <= len(key) <= _LONGEST_KEY and key.isprintable()):
            raise AnswerError(400, error=f"Idempotency-Key has 1 to {_LONGEST_KEY} printable characters")
        return key


def no_endpoint() -> Response[str]:
    """Return the answer for a method and path that nothing stands at."""
    return answer(404, {"error": "Endpoint not found", "supportedEndpoints": list(ENDPOINTS)})


def _user_id(text: str) -> str:
    known = identity(text)
    if known is None:
        raise AnswerError(400, error="Invalid user ID", details=["id: a UUID"])
    return known


def _no_user(known: str) -> AnswerError:
    return AnswerError(404, error="User not found", userId=known)


def _no_todo(todo_id: str) -> AnswerError:
    return AnswerError(404, error="Todo not found", todoId=todo_id)
