"""Owns the two places in a history: an LSN in the write-ahead log, and a record's position in the change stream.

An LSN alone never names a record: every change of a transaction shares the LSN of its commit. A position therefore is
the commit LSN and the ordinal of the record inside the transaction, and the pair orders every record the engine emits.
"""

import re
from typing import Final, NamedTuple, NewType, Self

Lsn = NewType("Lsn", int)
"""A byte position in the write-ahead log, 0 to 2^64 - 1 (PostgreSQL manual, `pg_lsn` type)."""

_TEXT: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_POSITION: Final = re.compile(rb"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})/([0-9]{1,19})")

LARGEST_LSN: Final = Lsn(2**64 - 1)

STEPS: Final = 4
"""Ordinals reserved for one change: a change of key becomes a delete, a tombstone and an insert."""


def parse_lsn(text: str) -> Lsn:
    """Return the LSN of PostgreSQL's text form, such as `16/B374D848`.

    Raises:
        ValueError: The text is not two hexadecimal numbers of at most eight digits around a slash.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not an LSN: {text!r}")
    return Lsn(int(match[1], 16) << 32 | int(match[2], 16))


def format_lsn(lsn: int) -> str:
    """Return PostgreSQL's text form of an LSN.

    Raises:
        ValueError: The number does not fit into 64 bits.
    """
    if not 0 <= lsn <= LARGEST_LSN:
        raise ValueError(f"not an LSN: {lsn}")
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


class Position(NamedTuple):
    """The place of one record: ordered, stable when the transaction is sent again, unique within a slot's history.

    `ordinal` counts the changes of the transaction from 1, each with room for `STEPS` records: change n begins at
    n * STEPS. It counts every change the server sends, captured or not, so that a filter of ours never moves it. A
    logical message outside of any transaction has the LSN at which its record ends and the ordinal 0: right there the
    record of a commit may begin.
    """

    lsn: Lsn
    ordinal: int

    def encode(self) -> bytes:
        """Return the form that travels in a record header: `16/B374D848/4`."""
        return b"%X/%X/%d" % (self.lsn >> 32, self.lsn & 0xFFFFFFFF, self.ordinal)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the position of a record header.

        Raises:
            ValueError: The bytes are not a position.
        """
        match = _POSITION.fullmatch(data)
        if match is None:
            raise ValueError(f"not a position: {data!r}")
        return cls(Lsn(int(match[1], 16) << 32 | int(match[2], 16)), int(match[3]))

    @classmethod
    def of_snapshot_row(cls, consistent_point: Lsn, row: int) -> Self:
        """Return the position of row number `row` (from 0) of a snapshot taken at a slot's consistent point.

        A snapshot holds every transaction that committed before the consistent point and none after. Its rows stand
        one byte before that point, where no commit can: WAL records begin at multiples of eight bytes.
        """
        return cls(Lsn(consistent_point - 1), row)
