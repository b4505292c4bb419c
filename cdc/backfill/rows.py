"""Owns the way from a chunk's rows to records: which are dropped, which a partition holds already. Pure."""

from collections.abc import Mapping, Sequence

from cdc.backfill.messages import KeyTexts, Request
from cdc.backfill.tasks import Chunk
from cdc.backfill.window import Verdict, Window
from cdc.capture import Capture, progress
from cdc.lsn import STEPS, Lsn, Position
from cdc.positions import partition_of
from cdc.records import REPLAY, Record, TopicName


def chunk_records(
    capture: Capture,
    chunk: Chunk,
    window: Window,
    lsn: Lsn,
    request: Request,
    covered: Sequence[tuple[int, KeyTexts]],
    partitions: Mapping[TopicName, int],
) -> tuple[list[Record], int, int] | None:
    """Return the records of a chunk, at the place of its high watermark.

    Args:
        capture: Makes the records.
        chunk: The rows, each with a flag for each of `covered`: whether it lies beyond that key.
        window: What the stream has shown since the low watermark.
        lsn: That of the high watermark.
        request: Whose job it is.
        covered: Partitions that hold rows of this job from an earlier life, each with the last key that it holds.
        partitions: How many each topic has.

    Returns:
        The records, dead letters among them, of how many rows they are, and how many more the partitions hold already;
        None when the chunk must be read again,
        because a row would lack a value.

    Raises:
        CdcError: A row does not fit its table.
    """
    table = chunk.table
    topic = capture.topic_of(table.name)
    encoder = capture.encoder(table.relation, table.primary_key)
    flag_of = {partition: flag for flag, (partition, _) in enumerate(covered)}
    found: list[Record] = []
    sent = held = 0
    for (row, beyond), key in zip(chunk.rows, chunk.keys(), strict=True):
        headers = progress(table.name, key, request.id)
        if request.replay:
            headers.append((REPLAY, request.id.encode()))
        # One byte before the message's end, where no commit can be: WAL records begin at multiples of eight bytes.
        position = Position(Lsn(lsn - 1), (sent + 1) * STEPS)
        records = capture.read_records(encoder, table.name, row, position, headers)
        flag = flag_of.get(partition_of(records[0].key, partitions[topic])) if flag_of else None
        if flag is not None and not beyond[flag]:
            held += 1
            continue
        verdict = window.judge(table.oid, records[0].key, chunk.snapshot)
        if verdict is Verdict.READ_AGAIN:
            return None
        if verdict is Verdict.SEND:
            sent += 1
            found += records
    return found, sent, held
