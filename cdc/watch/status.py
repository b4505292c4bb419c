"""Owns what can be said of replication from outside, engine or no engine: slot, WAL, topics. Reads only."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final

from psycopg import Connection

from cdc.catalog import read_server
from cdc.errors import CdcError
from cdc.letters.letterbox import LOOK_S, letters_of
from cdc.lsn import format_lsn, parse_lsn
from cdc.postgres import connect
from cdc.readback import Search, count_partitions, read_tails
from cdc.session import describe
from cdc.settings import Settings
from cdc.shards.names import history_of
from cdc.shards.store import parts_in_use
from cdc.slots.slot import Retention, read_retention, snapshot_name

_WAL_STATES: Final = ("reserved", "extended", "unreserved", "lost")
"""From good to bad (PostgreSQL manual, view `pg_replication_slots`)."""


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """The slot as the server shows it; bytes are counted to the present end of the WAL."""

    name: str
    state: str
    """`active`, `inactive`, `snapshot` (the initial one is not complete), `missing`, or `unknown`."""
    wal_status: str | None = None
    confirmed_lsn: str | None = None
    lag_bytes: int | None = None
    retained_wal_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """The last position that a topic holds, None when it holds no record of this source."""

    name: str
    partitions: int
    last_position: str | None
    dead_letters: int | None = None
    """How many of its records wait in the dead-letter topic; None when it could not be read to its end."""


@dataclass(frozen=True, slots=True)
class Status:
    """Slot, topics, and what could not be read."""

    slot: SlotStatus
    topics: tuple[TopicStatus, ...]
    problems: tuple[str, ...]
    shards: tuple[SlotStatus, ...] = ()
    """The slots of the shards, where there are several; `slot` then is all of them together."""

    def as_dict(self) -> dict[str, Any]:
        """Return the form that `--json` prints."""
        return asdict(self)


def read_status(settings: Settings) -> Status:
    """Read the slot, then the ends of the topics; what fails is among the problems."""
    name, problems = settings.slot_name, []
    slot, source = SlotStatus(name, "unknown"), None
    shards: tuple[SlotStatus, ...] = ()
    try:
        with closing(connect(settings.database_url.get_secret_value())) as connection:
            source = read_server(connection).source
            shards = tuple(_shard(connection, part.slot(name)) for part in parts_in_use(connection, name) if part.label)
            if shards:
                slot = _together(name, shards)
            else:
                retention = read_retention(connection, name)
                snapshot = read_retention(connection, snapshot_name(name))
                slot = _slot(name, retention, snapshot)
    except CdcError as error:
        problems.append(str(error))
    topics: tuple[TopicStatus, ...] = ()
    try:
        topics = _topics(settings, source)
    except CdcError as error:
        problems.append(str(error))
    return Status(slot, topics, tuple(problems), shards)


def _shard(connection: Connection[Any], name: str) -> SlotStatus:
    return _slot(name, read_retention(connection, name), None)


def _together(name: str, shards: Sequence[SlotStatus]) -> SlotStatus:
    """Return what several slots are as one: read if all are, as far behind as the last of them."""
    state = "active" if all(shard.state == "active" for shard in shards) else "inactive"
    worst = max(shards, key=lambda shard: _WAL_STATES.index(shard.wal_status) if shard.wal_status in _WAL_STATES else 0)
    confirmed = [parse_lsn(shard.confirmed_lsn) for shard in shards if shard.confirmed_lsn is not None]
    return SlotStatus(
        name,
        state,
        worst.wal_status,
        format_lsn(min(confirmed)) if confirmed else None,
        max((shard.lag_bytes for shard in shards if shard.lag_bytes is not None), default=None),
        max((shard.retained_wal_bytes for shard in shards if shard.retained_wal_bytes is not None), default=None),
    )


def _slot(name: str, retention: Retention | None, snapshot: Retention | None) -> SlotStatus:
    if retention is None and snapshot is None:
        return SlotStatus(name, "missing")
    shown = retention or snapshot
    assert shown is not None
    state = "snapshot" if retention is None else "active" if retention.active else "inactive"
    confirmed = None if shown.confirmed is None else format_lsn(shown.confirmed)
    return SlotStatus(name, state, shown.wal_status, confirmed, shown.lag_bytes, shown.retained_bytes)


def _topics(settings: Settings, source: bytes | None) -> tuple[TopicStatus, ...]:
    names = list(settings.topics)
    bootstrap, config = settings.kafka_bootstrap_servers, settings.cdc_kafka_config
    partitions = count_partitions(bootstrap, config, names)
    if source is None:
        # Whose records ours are is known by the server's identity only.
        return tuple(TopicStatus(topic, count, None) for topic, count in partitions.items())
    found = letters_of(settings, seconds=LOOK_S)
    waiting = Counter(letter.topic for letter in found.waiting if history_of(letter.source) == source)
    tails = read_tails(bootstrap, config, partitions, Search(source, any_shard=True), lambda: None, settled=False)
    last = {
        topic: max((tail.position for tail in ends if tail.position is not None), default=None)
        for topic, ends in tails.items()
    }
    return tuple(
        TopicStatus(topic, count, describe(last[topic]), waiting[topic] if found.complete else None)
        for topic, count in partitions.items()
    )
