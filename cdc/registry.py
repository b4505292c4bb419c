"""Owns the talk with a schema registry: the only module that knows its REST interface. Derives and encodes nothing.

Source of facts: Confluent's documentation, "Schema Registry API Reference"; other registries offer the same interface.
A schema is used only when the registry has it, or has found it compatible by the subject's own rule and taken it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import httpx
import structlog
from pydantic import SecretStr

from cdc.emission import CA, CERTIFICATE, PRIVATE_KEY, TOKEN, USER
from cdc.errors import CdcError, Kind

_log: Final = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 5.0
"""For each step of a request: the server waits for signs of life meanwhile, for a minute unless told otherwise."""
_MEDIA: Final = "application/vnd.schemaregistry.v1+json"
_NOT_THERE: Final = 404
_CONFLICT: Final = 409
_TRY_LATER: Final = 429
_SERVER_ERROR: Final = 500


class RegistryError(CdcError):
    """The registry refused something or cannot be reached."""


class IncompatibleSchemaError(RegistryError):
    """What a table has become does not go with what readers of its topic expect; `columns` are at fault."""

    def __init__(self, subject: str, columns: tuple[str, ...], reason: str) -> None:
        named = ", ".join(columns) or "unknown"
        message = f"the subject {subject} does not allow the change of its table (column {named}): {reason}"
        super().__init__(Kind.SCHEMA_INCOMPATIBLE, message)
        self.subject = subject
        self.columns = columns


@contextmanager
def _reaching() -> Iterator[None]:
    """Name what hinders a request on its way; the address, which may hold a password, is left out."""
    try:
        yield
    except (httpx.TransportError, OSError) as error:
        message = f"the schema registry does not answer ({type(error).__name__})"
        raise RegistryError(Kind.REGISTRY_UNREACHABLE, message) from error


class Registry:
    """Give schemas their ids; each is asked for once."""

    def __init__(self, url: str, given: Mapping[str, SecretStr]) -> None:
        """Remember where and how; connect when there is something to ask."""
        self._url = url.rstrip("/")
        self._given = {name: secret.get_secret_value() for name, secret in given.items()}
        self._ids: dict[tuple[str, str], int] = {}

    def schema_id(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Return the id of a schema under a subject, registered if it is new and compatible.

        Raises:
            IncompatibleSchemaError: The subject's rule forbids it.
            RegistryError: The registry cannot be reached, or refuses.
        """
        text = json.dumps(schema)
        if (known := self._ids.get((subject, text))) is not None:
            return known
        with _reaching(), self._client() as client:
            found = self._admit(client, subject, text)
        self._ids[subject, text] = found
        return found

    def compatibility(self) -> str:
        """Return the rule for subjects without one of their own, such as `BACKWARD` or `NONE`.

        Raises:
            RegistryError: The registry cannot be reached, or refuses.
        """
        with _reaching(), self._client() as client:
            answer = self._ask(client, "GET", "/config")
        if answer is None:
            raise RegistryError(Kind.REGISTRY, "there is no schema registry under this URL")
        return str(answer.get("compatibilityLevel", "NONE"))

    def _client(self) -> httpx.Client:
        given = self._given
        user, _, password = given.get(USER, "").partition(":")
        headers = {"Accept": f"{_MEDIA}, application/json", "Content-Type": _MEDIA}
        if TOKEN in given:
            headers["Authorization"] = f"Bearer {given[TOKEN]}"
        context = httpx.create_ssl_context(verify=True)
        if CA in given:
            context.load_verify_locations(given[CA])
        if CERTIFICATE in given:
            context.load_cert_chain(given[CERTIFICATE], given.get(PRIVATE_KEY))
        auth = (user, password) if USER in given else None
        return httpx.Client(headers=headers, auth=auth, timeout=_TIMEOUT_S, verify=context)

    def _admit(self, client: httpx.Client, subject: str, text: str) -> int:
        place, body = f"/subjects/{quote(subject, safe='')}", {"schema": text}
        # An engine that goes on from an earlier place meets earlier schemas: what was admitted once is not asked again.
        if (present := self._ask(client, "POST", place, body)) is not None:
            return int(present["id"])
        compatibility = f"/compatibility{place}/versions/latest?verbose=true"
        verdict = self._ask(client, "POST", compatibility, body)
        if verdict is not None and not verdict["is_compatible"]:
            raise self._incompatible(client, subject, text, verdict.get("messages", ()))
        taken = self._ask(client, "POST", f"{place}/versions", body, conflict=True)
        if taken is None:
            raise self._incompatible(client, subject, text, ())
        _log.info("schema_registered", subject=subject, id=taken["id"], first=verdict is None)
        return int(taken["id"])

    def _ask(
        self, client: httpx.Client, method: str, path: str, body: Any = None, *, conflict: bool = False
    ) -> dict[str, Any] | None:
        """Return the answer; None for what is not there, or with `conflict` for what does not go with what is."""
        answer = client.request(method, f"{self._url}{path}", json=body)
        if answer.status_code == (_CONFLICT if conflict else _NOT_THERE):
            return None
        if answer.status_code == _TRY_LATER or answer.status_code >= _SERVER_ERROR:
            message = f"the schema registry cannot serve now (status {answer.status_code})"
            raise RegistryError(Kind.REGISTRY_UNREACHABLE, message)
        try:
            answered = answer.json()
        except ValueError:
            answered = None
        if not answer.is_success or not isinstance(answered, dict):
            said = answered.get("message", "") if isinstance(answered, dict) else "no answer of a schema registry"
            message = f"the schema registry refuses {path.partition('?')[0]} (status {answer.status_code}): {said}"
            raise RegistryError(Kind.REGISTRY, message)
        return answered

    def _incompatible(self, client: httpx.Client, subject: str, text: str, messages: Any) -> IncompatibleSchemaError:
        latest = self._ask(client, "GET", f"/subjects/{quote(subject, safe='')}/versions/latest")
        columns = () if latest is None else changed_columns(json.loads(latest["schema"]), json.loads(text))
        reason = "; ".join(str(message) for message in messages)[:500] or "by the rule of the subject"
        return IncompatibleSchemaError(subject, columns, reason)


def changed_columns(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that two schemas of a table type differently, as `name: before -> after`."""
    types = {field["name"]: field["type"] for field in before.get("fields", ())}
    return tuple(
        f"{field.get('column', field['name'])}: {_type(types[field['name']])} -> {_type(field['type'])}"
        for field in after.get("fields", ())
        if field["name"] in types and types[field["name"]] != field["type"]
    )


def _type(avro: Any) -> str:
    kinds = [kind for kind in avro if kind != "null"] if isinstance(avro, list) else [avro]
    return " or ".join(
        f"array of {_type(kind['items'])}" if isinstance(kind, dict) and kind.get("type") == "array" else str(kind)
        for kind in kinds
    )
