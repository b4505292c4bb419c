"""Owns the schema of the raw topic in the registry: without it, the service takes the topic for two columns of bytes.

Facts: FL-52 and FL-53 of the contract; Confluent's "Schema Registry API Reference".
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from flink_jobs.confluent.http import ConfluentError, Service
from flink_jobs.confluent.settings import ConfluentSettings

COMPATIBILITY: Final = "BACKWARD"
_MEDIA: Final = "application/vnd.schemaregistry.v1+json"
_NOT_THERE: Final = frozenset({404})


class Registry:
    """Talk to the registry of the environment; close it after use.

    Args:
        settings: Its URL and key.
    """

    def __init__(self, settings: ConfluentSettings) -> None:
        self._service = Service(
            "the schema registry",
            str(settings.schema_registry_url),
            settings.schema_registry_api_key,
            settings.schema_registry_api_secret.get_secret_value(),
            {"Accept": f"{_MEDIA}, application/json", "Content-Type": _MEDIA},
        )

    def close(self) -> None:
        """End the connection."""
        self._service.close()

    def ensure(self, subject: str, schema: Mapping[str, Any]) -> bool:
        """See to it that a subject holds a JSON Schema and is BACKWARD compatible; return whether it was registered.

        Raises:
            ConfluentError: The schema does not go with the one that is there, or the registry refuses.
        """
        body = {"schemaType": "JSON", "schema": json.dumps(schema)}
        rule = self._service.call("GET", f"/config/{subject}", absent=_NOT_THERE)
        if rule is None or rule.get("compatibilityLevel") != COMPATIBILITY:
            self._service.call("PUT", f"/config/{subject}", json={"compatibility": COMPATIBILITY})
        if self._service.call("POST", f"/subjects/{subject}", json=body, absent=_NOT_THERE) is not None:
            return False
        place = f"/compatibility/subjects/{subject}/versions/latest?verbose=true"
        verdict = self._service.call("POST", place, json=body, absent=_NOT_THERE)
        if verdict is not None and not verdict["is_compatible"]:
            reason = "; ".join(map(str, verdict.get("messages") or ()))[:500] or "no reason is given"
            raise ConfluentError(
                f"the schema of {subject} is not {COMPATIBILITY} compatible with the one registered: {reason}"
            )
        self._service.call("POST", f"/subjects/{subject}/versions", json=body)
        return True
