"""Owns what Avro means to the job's SQL: the registry, the schema of filtered topics, and the options of their sink.

Must never ask a registry; `registry` does. Facts: Flink 2.2, «Confluent Avro Format».
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import schemas

_SECRETS = (".user-info", ".token")
"""How those options of Flink's format end whose values are nobody's business."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Say where the schema registry is that Avro values go by.

    Attributes:
        url: The base of its Confluent-compatible interface, as the cluster reaches it.
        credentials: Options of Flink's format that prove who we are, such as `basic-auth.user-info`.
    """

    url: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def masked(self) -> "Registry":
        """Return the same for a person's eyes: no secret is in a script."""
        hidden = {name: "******" for name in self.credentials if name.endswith(_SECRETS)}
        return Registry(self.url, {**self.credentials, **hidden})

    def sink_options(self) -> dict[str, str]:
        """Return the options of the format that the filtered topics are written in."""
        given = {
            "url": self.url,
            # One writer has one subject, whatever the topic; `registry` files the schema under each topic's name too.
            "subject": filtered_subject(),
            "schema": filtered_schema(),
            **self.credentials,
        }
        return {f"value.avro-confluent.{name}": value for name, value in given.items()}

    def job_parameters(self) -> dict[str, str]:
        """Return what `AvroHeaderParser` asks for; Flink masks what it shows of `basic-auth` and `token`."""
        prefix = "pipeline.global-job-parameters.headwater.schema-registry"
        given = {"url": self.url, **self.credentials}
        return {f"{prefix}.{name}": value for name, value in given.items()}


def filtered_schema() -> str:
    """Return the Avro schema of every filtered topic, spelled as Avro's own library writes it."""
    return json.dumps(schemas.avro_schema("filtered-event-header"), separators=(",", ":"))


def filtered_subject() -> str:
    """Return the subject that the one writer of all filtered topics goes by: the full name of its record."""
    schema = schemas.avro_schema("filtered-event-header")
    return f"{schema['namespace']}.{schema['name']}"
