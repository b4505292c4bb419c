"""Owns one schedule: life after life of the engine in one simulated world, and the verdict on what the broker holds.

A life goes as `cdc.engine` opens a session: take the slot, read the ends of the topics, relay. The database is the
oracle: it knows which records are due for each key, in which order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdc.assembly import Assembly
from cdc.capture import Capture
from cdc.errors import CdcError
from cdc.ledger import Limits
from cdc.policy import Retry, decide
from cdc.readback import Search, tails_at_rest
from cdc.relay import Pace, Relay
from cdc.session import floors
from cdc.simulation.broker import Broker, Reader
from cdc.simulation.fate import CrashError, Ending, Fate, StalledError
from cdc.simulation.history import ROUTES, Key, Transaction, write_history
from cdc.simulation.producer import Producer
from cdc.simulation.server import Connection, Server

_SOURCE: Final = b"7/simulated"
_ENDINGS: Final = (Ending.NONE, Ending.CRASH, Ending.CRASH, Ending.CRASH, Ending.FAILURE, Ending.FAILURE, Ending.STOP)
_LONGEST_LIFE: Final = 40
_MOST_LIVES: Final = 8
_RECORD_LIMITS: Final = (1000, 1, 3, 8)
_SPAN_RECORDS: Final = (256, 1, 2)
_STREAM_MEMORY: Final = (*(1 << 20,) * 15, 1)
_STATUS_S: Final = (1.0, 0.0)
_NEVER: Final = 1e12
_RESTART_S: Final = 0.5

Values = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one schedule has shown."""

    lost: int = 0
    """Records that never arrived, or that the server was allowed to forget before they had."""
    duplicates: int = 0
    reordered: int = 0
    """Keys whose records arrived in another order than their commits'."""
    failure: str | None = None
    """Why the engine did not come to the end by itself, if it did not."""

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return self == Verdict()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, the choices that lead to it, and, if asked for, what happened line by line."""

    verdict: Verdict
    choices: Sequence[int]
    trace: Sequence[str] = ()


def run_schedule(source: int | Sequence[int], *, traced: bool = False) -> Outcome:
    """Run the schedule of a seed, or the one that given choices make; the same source gives the same outcome."""
    fate = Fate(source, traced=traced)
    broker = Broker(fate)
    server = Server(write_history(fate), broker, fate)
    failure = None
    try:
        lives = 0
        while not server.finished:
            lives += 1
            _live(server, broker, fate, mortal=lives < _MOST_LIVES)
    except StalledError:
        failure = f"no end after {fate.steps} steps: the slot is at {server.confirmed}, the log at {server.end}"
    except Exception as error:  # noqa: BLE001  # whatever leaves the engine here is the finding
        failure = f"the engine stopped: {error!r}"
    verdict = _judge(server, broker.delivered, failure)
    return Outcome(verdict, fate.choices, fate.trace or ())


def _live(server: Server, broker: Broker, fate: Fate, *, mortal: bool) -> None:
    ending = _ENDINGS[fate.below(len(_ENDINGS))] if mortal else Ending.NONE
    after = fate.below(_LONGEST_LIFE) if ending is not Ending.NONE else 0
    if fate.rarely(8):
        server.crash()
    fate.begin_life(ending, after)
    fate.note("an engine starts")
    producer = Producer(broker)
    killed = False
    try:
        _session(server, broker, producer, fate)
    except CrashError:
        killed = True
    except CdcError as error:
        if not fate.failed and not isinstance(decide(error.kind), Retry):
            raise
    fate.now += _RESTART_S
    # A killed process may have handed its queue to the network a moment before; any other has purged it.
    producer.die(purged=not killed or fate.below(2) == 0)


def _session(server: Server, broker: Broker, producer: Producer, fate: Fate) -> None:
    connection, confirmed = Connection(server), server.confirmed
    search = Search(_SOURCE, frozenset(ROUTES))
    tails = tails_at_rest(Reader(broker), broker.partitions, search, lambda: connection.confirm(confirmed))
    broker.fence()
    relay = Relay(
        Assembly(connection, memory=_STREAM_MEMORY[fate.below(len(_STREAM_MEMORY))]),
        producer,
        Capture(ROUTES, _SOURCE, clock=lambda: 0.0),
        confirmed=confirmed,
        floors=floors(tails),
        limits=Limits(
            records=_RECORD_LIMITS[fate.below(len(_RECORD_LIMITS))],
            span_records=_SPAN_RECORDS[fate.below(len(_SPAN_RECORDS))],
        ),
        pace=Pace(status=_STATUS_S[fate.below(len(_STATUS_S))], report=_NEVER),
        clock=lambda: fate.now,
    )
    relay.run(lambda: fate.stopping or server.finished)


def _judge(server: Server, delivered: Mapping[Key, Values], failure: str | None) -> Verdict:
    expected = _expected(server.transactions)
    if failure is None and not server.forgotten and delivered == expected:
        return Verdict()
    lost = duplicates = reordered = 0
    for key in expected.keys() | delivered.keys():
        due, held = _named(expected.get(key, ())), _named(delivered.get(key, ()))
        missing, extra = Counter(due) - Counter(held), Counter(held) - Counter(due)
        duplicates += extra.total()
        lost += missing.total()
        reordered += _without(due, missing) != _without(held, extra)
    return Verdict(max(lost, server.forgotten), duplicates, reordered, failure)


def _expected(transactions: Sequence[Transaction]) -> dict[Key, list[bytes | None]]:
    expected: dict[Key, list[bytes | None]] = {}
    for transaction in transactions:
        for key, value in transaction.due:
            expected.setdefault(key, []).append(value)
    return expected


def _named(values: Values) -> list[bytes]:
    """Return the values with each tombstone named after the value before it: no two that are due look alike."""
    named: list[bytes] = []
    last = b""
    for value in values:
        named.append(b"tombstone of " + last if value is None else value)
        last = value or b""
    return named


def _without(values: Sequence[bytes], surplus: Counter[bytes]) -> list[bytes]:
    """Return the values without so many of each, the later ones left out."""
    keep = Counter(values) - surplus
    kept = []
    for value in values:
        if keep[value] > 0:
            keep[value] -= 1
            kept.append(value)
    return kept
