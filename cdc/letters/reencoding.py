"""Owns the records of a dead letter, made by the encoders of today and marked as replayed. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cdc.capture import Capture
from cdc.emission import PLAIN, Emission
from cdc.errors import CdcError, Kind
from cdc.letters.deadletters import RELATION, Reason, read_relation
from cdc.letters.letterbox import Content, Letter
from cdc.pgoutput.decoder import decode
from cdc.pgoutput.messages import Begin, Delete, Insert, Update
from cdc.records import COMMITTED, POSITION, REPLAY, REPLAYED_POSITION, SNAPSHOT, XID, Headers, Record
from cdc.tables import Route, TableName
from cdc.types import TypeCatalog


def encode_again(
    letter: Letter, content: Content, types: TypeCatalog | None = None, emission: Emission = PLAIN
) -> list[Record]:
    """Return the records of a letter, by the encoders of today, marked as replayed.

    Raises:
        CdcError: The change still cannot be encoded, or what the letter holds is no such change.
    """
    headers = dict(content.headers)
    if letter.reason == Reason.TOO_LARGE.value:
        records: Sequence[Record] = [Record(letter.topic, content.key, content.value, letter.position, content.headers)]
    else:
        records = _decoded(letter, content.value or b"", headers, types, emission)
    left_out = {POSITION, SNAPSHOT, REPLAY, REPLAYED_POSITION, RELATION}
    marks: Headers = [(REPLAY, b"dead-letter"), (REPLAYED_POSITION, letter.position.encode())]
    return [
        replace(record, headers=[*marks, *(header for header in record.headers if header[0] not in left_out)])
        for record in records
    ]


def _decoded(
    letter: Letter,
    message: bytes,
    headers: Mapping[str, str | bytes | None],
    types: TypeCatalog | None,
    emission: Emission,
) -> Sequence[Record]:
    try:
        relation, primary_key = read_relation(_bytes(headers, RELATION))
    except ValueError as error:
        raise CdcError(Kind.UNENCODABLE, "the letter does not have the relation of its change") from error
    table = TableName(relation.schema, relation.name)
    route = Route(letter.topic, primary_key)
    capture = Capture({table: route}, letter.source, lambda: letter.stored_ms / 1000, types, emission)
    change = decode(message)
    if not isinstance(change, Insert | Update | Delete):
        raise CdcError(Kind.UNENCODABLE, "the letter does not hold a change")
    if XID not in headers:
        # Only rows of a snapshot belong to no transaction.
        row = change.new if isinstance(change, Insert) else ()
        encoder = capture.encoder(relation, primary_key)
        return [capture.read_record(encoder, table, row, letter.position, [])]
    capture.begin(Begin(letter.position.lsn, int(_bytes(headers, COMMITTED) or 0), int(_bytes(headers, XID))))
    capture.records(relation)
    return capture.records(change)


def _bytes(headers: Mapping[str, str | bytes | None], name: str) -> bytes:
    content = headers.get(name)
    return content if isinstance(content, bytes) else b""
