"""Owns the statements of one environment: list, create, stop, resume, delete, and wait for their phase.

Facts: Confluent's "Statements (sql/v1)": `POST` 201, `PATCH` with a JSON Patch of `/spec/stopped`, `DELETE` 202, pages
of at most 100; phases PENDING, RUNNING, COMPLETED, FAILING, FAILED, STOPPING, STOPPED, DELETING and DEGRADED.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from flink_jobs.confluent.http import ConfluentError, Service
from flink_jobs.confluent.settings import ConfluentSettings

_POLL_SECONDS: Final = 0.5
_PAGE: Final = 100
_NOT_THERE: Final = frozenset({404})
_BROKEN: Final = frozenset({"FAILED", "FAILING"})

OFFSETS_FROM: Final = "sql.tables.initial-offset-from"
"""The property by which a statement goes on where another one was stopped."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Describe one statement as the service knows it.

    Attributes:
        name: Unique in the environment.
        text: Its SQL.
        phase: The service's own word.
        detail: What it says of that.
        follows: The statement whose offsets it starts from, if any.
    """

    name: str
    text: str
    phase: str
    detail: str = ""
    follows: str | None = None


class Statements:
    """Manage the statements of an environment; close it after use.

    Args:
        settings: Environment, compute pool, principal and key.
        poll: Seconds between two looks at a phase.
    """

    def __init__(self, settings: ConfluentSettings, poll: float = _POLL_SECONDS) -> None:
        self._settings = settings
        self._poll = poll
        self._service = Service(
            "Confluent's Flink",
            str(settings.flink_rest_endpoint),
            settings.flink_api_key,
            settings.flink_api_secret.get_secret_value(),
        )
        organisation, environment = settings.confluent_organization_id, settings.confluent_env_id
        self._path = f"/sql/v1/organizations/{organisation}/environments/{environment}/statements"

    def close(self) -> None:
        """End the connection."""
        self._service.close()

    def every(self) -> dict[str, Statement]:
        """Return every statement of the environment by its name.

        Raises:
            ConfluentError: The service refuses or does not answer.
        """
        found: dict[str, Statement] = {}
        parameters: dict[str, str] = {"page_size": str(_PAGE)}
        while True:
            page = self._service.call("GET", self._path, params=parameters)
            found |= {each["name"]: _statement(each) for each in page.get("data") or ()}
            following = (page.get("metadata") or {}).get("next")
            token = parse_qs(urlsplit(following).query).get("page_token") if following else None
            if not token:
                return found
            parameters = {**parameters, "page_token": token[0]}

    def find(self, name: str) -> Statement | None:
        """Return one statement, None when there is no such."""
        body = self._service.call("GET", f"{self._path}/{name}", absent=_NOT_THERE)
        return None if body is None else _statement(body)

    def create(self, name: str, text: str, properties: Mapping[str, str], follows: str | None = None) -> None:
        """Hand one statement over.

        Args:
            name: Its name.
            text: Its SQL, one statement.
            properties: What goes along, beside catalog and database.
            follows: The statement at whose offsets it starts, once that one is stopped.

        Raises:
            ConfluentError: The service refuses it.
        """
        given = {**self._settings.properties, **properties, **({OFFSETS_FROM: follows} if follows else {})}
        spec: dict[str, Any] = {
            "statement": text,
            "properties": given,
            "compute_pool_id": self._settings.flink_compute_pool_id,
            "stopped": False,
        }
        if self._settings.flink_principal_id:
            spec["principal"] = self._settings.flink_principal_id
        body = {
            "name": name,
            "organization_id": self._settings.confluent_organization_id,
            "environment_id": self._settings.confluent_env_id,
            "spec": spec,
        }
        self._service.call("POST", self._path, json=body)

    def set_stopped(self, name: str, *, stopped: bool) -> None:
        """Stop a statement, or resume it where it stopped.

        Raises:
            ConfluentError: The service refuses.
        """
        patch = [{"op": "replace", "path": "/spec/stopped", "value": stopped}]
        headers = {"Content-Type": "application/json-patch+json"}
        self._service.call("PATCH", f"{self._path}/{name}", json=patch, headers=headers)

    def delete(self, name: str, seconds: float) -> None:
        """Delete a statement and wait until it is gone.

        Raises:
            ConfluentError: The service refuses, or it is not gone in this time.
        """
        self._service.call("DELETE", f"{self._path}/{name}", absent=_NOT_THERE)
        deadline = time.monotonic() + seconds
        while self.find(name) is not None:
            self._pause(deadline, f"the statement {name} is not gone")

    def wait(self, name: str, phase: str, seconds: float) -> None:
        """Wait until a statement is in a phase.

        Raises:
            ConfluentError: It failed, is gone, or is not there in this time; the message has the service's reason.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.find(name)
            if found is None:
                raise ConfluentError(f"the statement {name} is gone")
            if found.phase == phase:
                return
            if found.phase in _BROKEN:
                raise ConfluentError(f"the statement {name} is {found.phase}: {found.detail or 'no reason is given'}")
            self._pause(deadline, f"the statement {name} is {found.phase}, not {phase}: {found.detail}")

    def _pause(self, deadline: float, otherwise: str) -> None:
        if time.monotonic() >= deadline:
            raise ConfluentError(f"{otherwise} in the time given")
        time.sleep(self._poll)


def _statement(body: Any) -> Statement:
    spec, status = body["spec"], body.get("status") or {}
    follows = (spec.get("properties") or {}).get(OFFSETS_FROM)
    return Statement(body["name"], spec["statement"], str(status.get("phase")), status.get("detail") or "", follows)
