"""Owns Avro in Confluent's wire format: a zero byte, the schema's id in four bytes, and the record in binary.

Source of facts: Confluent's documentation, "Schema Registry", "Wire format" and "Subject name strategy" (a topic's
records are under `<topic>-key` and `<topic>-value`). Which id a schema has, and whether it may be used at all, is the
business of whoever gives the ids.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, Protocol

from fastavro import parse_schema, schemaless_writer

from cdc.errors import CdcError, Kind
from cdc.formats.avro_schema import CAPTURED, DELETED, OPERATION, TABLE, derive
from cdc.formats.protocol import DELETE, Origin, TableFormat, TableShape, Values, Writer
from cdc.pgoutput.messages import UNCHANGED

MAGIC: Final = b"\0"


class SchemaIds(Protocol):
    """Where the ids of schemas come from."""

    def schema_id(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Return the id of a schema under a subject, registered if it is new. Raises CdcError if it may not be."""


class AvroTable:
    """The Avro keys and values of one relation."""

    def __init__(self, shape: TableShape, schemas: SchemaIds) -> None:
        """Derive the schemas and have them admitted.

        Raises:
            CdcError: The registry cannot be reached, or does not take a schema.
        """
        derived = derive(shape)
        self.converters = derived.converters
        self.writer: Writer | None = None
        self._name = f"{shape.relation.schema}.{shape.relation.name}"
        self._table = shape.relation.name
        self._fields = derived.names
        self._nulls = [None] * len(derived.names)
        self._key_fields = [(derived.names[index], index) for index in shape.key]
        self._key_head = _head(schemas.schema_id(f"{shape.topic}-key", derived.key))
        self._value_head = _head(schemas.schema_id(f"{shape.topic}-value", derived.value))
        self._key_schema = parse_schema(derived.key)
        self._value_schema = parse_schema(derived.value)

    def key(self, values: Values) -> bytes:
        """Encode the key columns."""
        return self._write(self._key_head, self._key_schema, {name: values[at] for name, at in self._key_fields})

    def value(
        self,
        operation: str,
        after: Values | None,
        before: Values | None,
        now_ms: int,
        origin: Origin,  # noqa: ARG002  # the fields are the flat format's, and that tells of it in headers
    ) -> bytes:
        """Encode the row as it is now, or was when it went; what the server left out is null, and in a header."""
        values = after if after is not None else before if before is not None else self._nulls
        known = (None if value is UNCHANGED else value for value in values)
        fields: dict[str, Any] = dict(zip(self._fields, known, strict=True))
        fields[OPERATION] = operation
        fields[TABLE] = self._table
        fields[CAPTURED] = now_ms
        fields[DELETED] = "true" if operation == DELETE else "false"
        return self._write(self._value_head, self._value_schema, fields)

    def truncation_key(self) -> bytes:
        """Encode a key of nulls: the columns of a row's key have values."""
        return self._write(self._key_head, self._key_schema, dict.fromkeys(name for name, _ in self._key_fields))

    def moved_from(self, old_key: bytes) -> tuple[tuple[str, bytes], ...]:  # noqa: ARG002  # the protocol's
        """Return no header."""
        return ()

    def moved_to(self, new_key: bytes) -> tuple[tuple[str, bytes], ...]:  # noqa: ARG002  # the protocol's
        """Return no header."""
        return ()

    def _write(self, head: bytes, schema: Any, fields: Mapping[str, Any]) -> bytes:
        buffer = BytesIO()
        buffer.write(head)
        try:
            schemaless_writer(buffer, schema, fields)
        except (ValueError, TypeError, OverflowError) as error:
            # The library's text holds the value, which is nobody's business in a log.
            raise CdcError(Kind.UNENCODABLE, f"row of {self._name}: a value does not fit its Avro type") from error
        return buffer.getvalue()


class AvroFormat:
    """Avro with the flat format's fields."""

    def __init__(self, schemas: SchemaIds) -> None:
        """Take the ids from here."""
        self._schemas = schemas

    def table(self, shape: TableShape) -> TableFormat:
        """Prepare for the rows of one relation.

        Raises:
            CdcError: The registry cannot be reached, or does not take a schema.
        """
        return AvroTable(shape, self._schemas)


def _head(schema_id: int) -> bytes:
    return MAGIC + schema_id.to_bytes(4, "big")
