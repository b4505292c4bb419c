"""Owns the talk of a consumer with a schema registry: what a schema id stands for, and reading by it.

A schema is asked for at its first record and known from then on, so that a consumer goes on when the table behind its
topic has changed. Only the registry's own word that there is no such schema counts against a record; whatever else it
answers, and no answer, means: ask again later. Source of facts: Confluent's documentation, "Schema Registry API
Reference" and "Wire format". Imported only where a registry is set: only who reads Avro pays for its library.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

import fastavro
import httpx
import structlog
from pydantic import SecretStr

from consumers.record import SchemasUnavailableError, Undecodable, read_json
from consumers.settings import TOKEN, USER

Read = Callable[[bytes], object]

_log: Final = structlog.get_logger()

_TIMEOUT_SECONDS: Final = 5.0
_MEDIA: Final = "application/vnd.schemaregistry.v1+json"
_NOT_THERE: Final = re.compile("404[0-9]{2}")
"""The registry's own codes for what it does not have; a wrong URL gives 404 alone, or no code."""
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.1
"""A registry of several nodes may need a moment to know everywhere what one of them has taken."""
_REMEMBERED_SECONDS: Final = 30.0


class Registry:
    """Read payloads by the schemas that their frames name.

    Args:
        url: The base of the Confluent-compatible interface.
        given: How we prove who we are, by the names that Confluent's clients use.
    """

    def __init__(self, url: str, given: Mapping[str, SecretStr]) -> None:
        secrets = {name: secret.get_secret_value() for name, secret in given.items()}
        user, _, password = secrets.get(USER, "").partition(":")
        headers = {"Accept": f"{_MEDIA}, application/json"}
        if TOKEN in secrets:
            headers["Authorization"] = f"Bearer {secrets[TOKEN]}"
        auth = (user, password) if user else None
        self._url = url
        self._client = httpx.Client(headers=headers, auth=auth, timeout=_TIMEOUT_SECONDS)
        self._known: dict[int, Read] = {}
        self._refused: dict[int, tuple[float, str]] = {}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def read(self, schema_id: int, payload: bytes) -> object:
        """Return the value of a payload.

        Raises:
            Undecodable: There is no such schema, or the payload is not of it.
            SchemasUnavailableError: The registry does not answer, or not as one.
        """
        known = self._known.get(schema_id)
        if known is None:
            known = self._known[schema_id] = self._reader(schema_id)
        return known(payload)

    def _reader(self, schema_id: int) -> Read:
        since, reason = self._refused.get(schema_id, (0.0, ""))
        if reason and time.monotonic() - since < _REMEMBERED_SECONDS:
            raise Undecodable(reason)
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            found = self._ask(schema_id)
            if found is not None:
                _log.info("schema_found", id=schema_id, type=found.get("schemaType", "AVRO"))
                return _read_by(schema_id, found)
        reason = f"the schema registry has no schema {schema_id}"
        self._refused = {schema_id: (time.monotonic(), reason), **dict(list(self._refused.items())[:999])}
        raise Undecodable(reason)

    def _ask(self, schema_id: int) -> dict[str, Any] | None:
        try:
            answer = self._client.get(f"{self._url}/schemas/ids/{schema_id}")
        except httpx.TransportError as error:
            raise SchemasUnavailableError(f"no answer ({type(error).__name__})") from error
        try:
            told = answer.json()
        except ValueError:
            told = None
        if answer.is_success and isinstance(told, dict) and isinstance(told.get("schema"), str):
            return told
        if isinstance(told, dict) and _NOT_THERE.fullmatch(str(told.get("error_code", ""))):
            return None
        raise SchemasUnavailableError(f"status {answer.status_code}; check SCHEMA_REGISTRY_URL and its credentials")


def _read_by(schema_id: int, found: Mapping[str, Any]) -> Read:
    """Return what reads the payloads of one schema; no type named means Avro."""
    kind = found.get("schemaType", "AVRO")
    if kind == "JSON":
        return read_json
    if kind != "AVRO":
        raise Undecodable(f"schema {schema_id} is one of {kind}; Avro and JSON can be read")
    try:
        schema = fastavro.parse_schema(json.loads(found["schema"]))
    except Exception as error:  # whatever the library cannot do with it
        raise Undecodable(f"schema {schema_id} cannot be used: {error}") from error

    def read(payload: bytes) -> object:
        rest = BytesIO(payload)
        try:
            value = fastavro.schemaless_reader(rest, schema, None)
        except Exception as error:  # broken bytes break the library in many ways
            reason = f"the value is not of schema {schema_id}: {type(error).__name__} {error}"
            raise Undecodable(reason) from error
        if rest.read(1):
            raise Undecodable(f"the value is not of schema {schema_id}: more than one value")
        return value

    return read
