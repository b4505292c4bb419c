"""Owns what the Flink stage tells a schema registry before a job runs: the schema of its filtered topics.

The job's one writer has one subject. A reader looks under the name of its topic, so the same schema is filed under
`<topic>-value` of every topic too, where it has the same id. Every subject is asked before any is given a version, so
that a refusal changes none. Must never read a record. Source of facts: Confluent's documentation, "Schema Registry API
Reference".
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
import structlog

from flink_jobs.avro import Registry, filtered_schema, filtered_subject
from flink_jobs.plan import PlanError

_log: Final = structlog.get_logger()

_TIMEOUT_SECONDS: Final = 5.0
_MEDIA: Final = "application/vnd.schemaregistry.v1+json"
_LEVEL: Final = "BACKWARD"
"""A new version reads the records of the one before (FL-53)."""
_SPARE: Final = frozenset({httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY})
"""How registries refuse a schema; their message says why."""
_NOT_THERE: Final = re.compile("404[0-9]{2}")
"""The registry's own codes for what it does not have, such as 40401; a wrong URL gives 404 alone, or no code."""


class RegistryError(PlanError):
    """Say what the registry refuses, and what to do about it."""


class RegistryUnreachableError(RegistryError):
    """Say that the registry does not answer, or cannot serve now: waiting may help."""


class IncompatibleSchemaError(RegistryError):
    """Say which subject does not take the schema of the filtered topics, and why."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(
            f"the subject {subject} does not take the schema of the filtered topics: {reason}. Nothing was submitted. "
            "Write to other topics (TOPIC_SUFFIX), or set the subject's compatibility to NONE, submit, and set it back."
        )
        self.subject = subject


def admit(registry: Registry, topics: Sequence[str]) -> int:
    """File the schema of the filtered topics under every subject that it is looked for, and return its id.

    Args:
        registry: Where.
        topics: The filtered topics.

    Raises:
        IncompatibleSchemaError: A subject does not take it; none has been given a version.
        RegistryUnreachableError: The registry does not answer.
        RegistryError: It refuses otherwise, for example the credentials.
    """
    subjects = (filtered_subject(), *(f"{topic}-value" for topic in topics))
    schema = {"schema": filtered_schema()}
    with _Client(registry) as client:
        wanting = [subject for subject in subjects if not client.holds(subject, schema)]
        for subject in wanting:
            client.check(subject, schema)
        ids = {client.register(subject, schema) for subject in wanting}
        return ids.pop() if ids else client.id_of(subjects[0], schema)


class _Client:
    """Ask the registry, and give its answers a meaning."""

    def __init__(self, registry: Registry) -> None:
        headers = {"Accept": f"{_MEDIA}, application/json", "Content-Type": _MEDIA}
        if token := registry.credentials.get("bearer-auth.token"):
            headers["Authorization"] = f"Bearer {token}"
        user, _, password = registry.credentials.get("basic-auth.user-info", "").partition(":")
        self._url = registry.url
        self._client = httpx.Client(headers=headers, auth=(user, password) if user else None, timeout=_TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def holds(self, subject: str, schema: dict[str, str]) -> bool:
        """Tell whether the subject has the schema already."""
        return self._ask("POST", f"/subjects/{quote(subject, safe='')}", schema) is not None

    def id_of(self, subject: str, schema: dict[str, str]) -> int:
        """Return the id of a schema that the subject has."""
        found = self._ask("POST", f"/subjects/{quote(subject, safe='')}", schema) or {}
        return int(found["id"])

    def check(self, subject: str, schema: dict[str, str]) -> None:
        """Ask whether the subject would take the schema.

        Raises:
            IncompatibleSchemaError: It would not.
        """
        place = f"/subjects/{quote(subject, safe='')}/versions/latest"
        latest = self._ask("GET", place)
        if latest is None:
            return
        if (kind := latest.get("schemaType", "AVRO")) != "AVRO":
            raise IncompatibleSchemaError(subject, f"it holds schemas of {kind}")
        config = f"/config/{quote(subject, safe='')}"
        if self._ask("GET", config) is None:
            self._ask("PUT", config, {"compatibility": _LEVEL})
        verdict = self._ask("POST", f"/compatibility{place}?verbose=true", schema, refusals=_SPARE, subject=subject)
        if verdict is not None and not verdict["is_compatible"]:
            raise IncompatibleSchemaError(subject, _reasons(verdict.get("messages") or ()))

    def register(self, subject: str, schema: dict[str, str]) -> int:
        """Give the subject the schema as its newest version, and our rule if it had no version; return the id.

        Raises:
            IncompatibleSchemaError: It does not take it.
        """
        place = f"/subjects/{quote(subject, safe='')}/versions"
        fresh = self._ask("GET", place) is None
        taken = self._ask("POST", place, schema, refusals=_SPARE, subject=subject)
        if taken is None:
            raise RegistryError(f"the schema registry at {self._url} does not take versions of {subject}")
        if fresh:
            self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": _LEVEL})
        _log.info("schema_registered", subject=subject, id=taken["id"])
        return int(taken["id"])

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, str] | None = None,
        *,
        refusals: Iterable[int] = (),
        subject: str = "",
    ) -> Any:
        """Return the answer, None for what is not there.

        Raises:
            IncompatibleSchemaError: The status is one of `refusals`.
            RegistryError: Any other answer that is none.
        """
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body)
        except httpx.TransportError as error:
            raise RegistryUnreachableError(
                f"no answer from the schema registry at {self._url} ({type(error).__name__}); is it up?"
            ) from error
        told = _told(answer)
        if answer.is_success and told is not None:
            return told
        reason = told.get("message", "") if isinstance(told, dict) else "no answer of a schema registry"
        if isinstance(told, dict) and _NOT_THERE.fullmatch(str(told.get("error_code", ""))):
            return None
        if answer.status_code in refusals:
            raise IncompatibleSchemaError(subject, reason)
        status = f"status {answer.status_code}"
        if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise RegistryUnreachableError(f"the schema registry at {self._url} cannot serve now ({status}): {reason}")
        raise RegistryError(
            f"the schema registry at {self._url} refuses {path.partition('?')[0]} ({status}): {reason}; "
            "check SCHEMA_REGISTRY_URL and SCHEMA_REGISTRY_CONFIG"
        )


def _told(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError:
        return None


def _reasons(messages: Iterable[object]) -> str:
    return "; ".join(str(message) for message in messages)[:500] or "its rule forbids it"
