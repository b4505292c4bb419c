"""Owns the two sides of the loop as it sees them: whoever implements them does the I/O."""

from collections.abc import Sequence
from typing import Protocol

from cdc.ledger import Span
from cdc.lsn import Lsn
from cdc.pgoutput.messages import Event
from cdc.records import Record


class Stream(Protocol):
    """The server's side of the loop."""

    def read(self, timeout: float) -> Sequence[Event]:
        """Return the next events in order, none if there are none within `timeout` seconds. Raises CdcError."""

    def confirm(self, lsn: Lsn) -> None:
        """Tell the server that everything before `lsn` is safe; also the sign of life. Raises CdcError."""


class Sink(Protocol):
    """Kafka's side of the loop."""

    def send(self, record: Record, span: Span) -> None:
        """Take a record; `span.acknowledge` is called, from within `poll`, once it is stored. Raises CdcError."""

    def poll(self, timeout: float) -> None:
        """Deliver acknowledgements, waiting up to `timeout` seconds for one. Raises CdcError for what is lost."""
