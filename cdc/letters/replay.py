"""Owns the way back from the dead-letter topics: which letters can be sent again, and the sending.

A record that is sent again stands out of its turn. It bears `cdc.replay` and the position that it had, and no
`cdc.position`, so that an engine which looks for the end of its own records is not misled. Its key may have newer
records by now: such a letter is superseded, and stays where it is unless it is asked for.

A marker beside the letter says that it was replayed. Cut off between record and marker, the next attempt finds the
record in the topic and takes the letter for superseded: nothing is sent twice.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from enum import Enum, unique
from typing import Any, Final

from cdc.catalog import read_server, read_types
from cdc.emission import PLAIN, Emission
from cdc.errors import BrokerError, CdcError, Kind
from cdc.formats.choice import Formats
from cdc.ledger import Ledger, Limits
from cdc.letters.deadletters import REPLAYED, TOPIC
from cdc.letters.letterbox import Content, Letter, load
from cdc.letters.reencoding import encode_again
from cdc.letters.scan import StoredRecord, read_topics
from cdc.letters.sizes import ASSUMED, limits, producer_sizes, wire_size
from cdc.lsn import Lsn, Position
from cdc.postgres import connect
from cdc.records import COMMITTED, POSITION, REPLAYED_POSITION, SOURCE, Headers, Record, TopicName, read_position
from cdc.settings import Settings
from cdc.shards.names import history_of
from cdc.sink import KafkaSink
from cdc.topics import read_sizes
from cdc.types import TypeCatalog

_SLACK_MS: Final = 3_600_000
"""By how much the clocks of database and broker may disagree when newer records of a key are looked for."""
_PATIENCE_S: Final = 60.0

Key = tuple[TopicName, bytes]


@unique
class State(Enum):
    """What a replay would do with a letter."""

    READY = "ready"
    REPLAYED = "replayed"
    """It was sent again already."""
    SUPERSEDED = "superseded"
    """Its key has a newer record in the topic, or the letter's own."""
    TOO_LARGE = "too_large"
    """The topic still does not take it."""
    UNENCODABLE = "unencodable"
    """Still no record can hold it."""
    FOREIGN = "foreign"
    """It is of another source, with which positions cannot be compared."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A letter and what can be done with it."""

    letter: Letter
    state: State
    detail: str = ""
    sent: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        letter = self.letter
        return {
            "position": letter.position.encode().decode(),
            "topic": letter.topic,
            "dead_letter_topic": letter.letterbox,
            "table": letter.table,
            "key": letter.key.decode(errors="backslashreplace"),
            "reason": letter.reason,
            "error": letter.error,
            "parts": letter.parts,
            "stored_ms": letter.stored_ms,
            "state": self.state.value,
            "detail": self.detail,
            "sent": self.sent,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters to send again: all or those at some positions; with the stubborn ones only if asked for."""

    positions: frozenset[Position] | None = None
    again: bool = False
    superseded: bool = False

    def covers(self, verdict: Verdict) -> bool:
        """Say whether the letter of a verdict is to be sent."""
        if self.positions is not None and verdict.letter.position not in self.positions:
            return False
        wanted = {State.READY}
        wanted |= {State.REPLAYED} if self.again else set()
        wanted |= {State.SUPERSEDED} if self.superseded else set()
        return verdict.state in wanted


@dataclass(slots=True)
class Replay:
    """One run: look at the letters, judge them, send what was chosen."""

    settings: Settings
    _types: TypeCatalog | None = None
    _emission: Emission = PLAIN
    _source: bytes = b""
    _told: Mapping[TopicName, int | None] = field(default_factory=dict)

    def judge(self, letters: Iterable[Letter]) -> list[Verdict]:
        """Return what can be done with each letter, in their order.

        Raises:
            CdcError: Database or broker cannot be reached.
        """
        settings = self.settings
        with closing(connect(settings.database_url.get_secret_value())) as connection:
            server, self._types = read_server(connection), read_types(connection)
        self._source, self._emission = server.source, Emission(Formats(settings).of(server.database))
        topics = (*settings.topics, *settings.dead_letter_topics.values())
        self._told = read_sizes(settings.kafka_bootstrap_servers, settings.cdc_kafka_config, topics)
        verdicts, keys = [], list[list[Key]]()
        for letter in letters:
            verdict, records = self._look(letter)
            verdicts.append(verdict)
            keys.append([(record.topic, record.key) for record in records])
        ready = [verdict.letter for verdict in verdicts if verdict.state is State.READY]
        newest = self._newest(ready, {key for own in keys for key in own})
        return [self._superseded(verdict, newest, own) for verdict, own in zip(verdicts, keys, strict=True)]

    def send(self, verdicts: Sequence[Verdict], choice: Choice, sent: Callable[[], None]) -> list[Verdict]:
        """Send the letters that were chosen, oldest first, each with its marker; call `sent` after each.

        Raises:
            CdcError: The broker fails; what was marked until then is done.
        """
        settings, done = self.settings, []
        sink = KafkaSink(
            settings.kafka_bootstrap_servers,
            settings.cdc_kafka_config,
            linger_ms=0,
            sizes=producer_sizes(self._told, settings.cdc_kafka_config),
        )
        try:
            for verdict in verdicts:
                if choice.covers(verdict):
                    records = encode_again(verdict.letter, self._load(verdict.letter), self._types, self._emission)
                    _deliver(sink, records)
                    _deliver(sink, [_marker(verdict.letter)])
                    verdict = replace(verdict, state=State.REPLAYED, sent=True)  # noqa: PLW2901  # the same letter
                    sent()
                done.append(verdict)
        finally:
            sink.abandon()
        return done

    def _look(self, letter: Letter) -> tuple[Verdict, list[Record]]:
        if history_of(letter.source) != self._source:
            return Verdict(letter, State.FOREIGN, letter.source.decode(errors="replace")), []
        try:
            records = encode_again(letter, self._load(letter), self._types, self._emission)
        except CdcError as error:
            if isinstance(error, BrokerError):
                raise
            return Verdict(letter, State.UNENCODABLE, str(error)), []
        takes = limits(self._told, self.settings.cdc_kafka_config).get(letter.topic, ASSUMED)
        size = max(wire_size(record.key, record.value, record.headers) for record in records)
        # Only keys are needed from here on: the content of many letters would not fit into memory.
        keys = [replace(record, value=None) for record in records]
        if size > takes:
            return Verdict(letter, State.TOO_LARGE, f"{size} bytes; {letter.topic} takes {takes}"), keys
        return Verdict(letter, State.REPLAYED if letter.replayed else State.READY), keys

    def _load(self, letter: Letter) -> Content:
        return load(self.settings.kafka_bootstrap_servers, self.settings.cdc_kafka_config, letter)

    def _newest(self, letters: Sequence[Letter], keys: set[Key]) -> dict[Key, Position]:
        """Return the last position of each key in its topic, where it has any since the oldest of the letters."""
        newest: dict[Key, Position] = {}
        if not letters:
            return newest

        def take(record: StoredRecord) -> None:
            key = (record.topic, record.key or b"")
            if key in keys:
                replayed = record.headers.get(REPLAYED_POSITION)
                given = record.headers if replayed is None else {**record.headers, POSITION: replayed}
                position = read_position(given, self._source, any_shard=True)
                if position is not None:
                    newest[key] = max(position, newest.get(key, position))

        since = min(int(letter.headers.get(COMMITTED, b"0")) // 1000 for letter in letters)
        read_topics(
            self.settings.kafka_bootstrap_servers,
            self.settings.cdc_kafka_config,
            {letter.topic for letter in letters},
            take,
            since_ms=max(0, since - _SLACK_MS),
        )
        return newest

    def _superseded(self, verdict: Verdict, newest: Mapping[Key, Position], keys: Iterable[Key]) -> Verdict:
        if verdict.state is not State.READY:
            return verdict
        position = max((newest[key] for key in keys if key in newest), default=None)
        if position is None or position < verdict.letter.position:
            return verdict
        detail = f"the topic has {position.encode().decode()} under its key"
        return replace(verdict, state=State.SUPERSEDED, detail=detail)


def _marker(letter: Letter) -> Record:
    """Return the record that says of a letter that it was replayed; in the letter's partition, after it."""
    headers: Headers = [
        (REPLAYED, letter.position.encode()),
        (TOPIC, letter.topic.encode()),
        (SOURCE, letter.source),
    ]
    return Record(letter.letterbox, letter.key, b"", letter.position, headers)


def _deliver(sink: KafkaSink, records: Iterable[Record]) -> None:
    ledger = Ledger(Lsn(0), Limits())
    for record in records:
        sink.send(record, ledger.add(record.size))
    until = time.monotonic() + _PATIENCE_S
    while ledger.in_flight:
        sink.poll(0.1)
        if time.monotonic() > until:
            raise BrokerError(Kind.BROKER_UNREACHABLE, f"the broker did not take a record within {_PATIENCE_S:.0f} s")
