"""Owns one schedule: life after life of the engine in one simulated world, and the verdict on what the broker holds.

A life goes as `cdc.engine` opens a session: take the slot, read the ends of the topics, relay. The database is the
oracle: it knows which records are due in each partition, in which order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdc.assembly import Assembly
from cdc.capture import Capture
from cdc.emission import Emission
from cdc.errors import CdcError, Kind
from cdc.ledger import Limits
from cdc.outbox import Outbox
from cdc.policy import Retry, decide
from cdc.readback import Search, tails_at_rest
from cdc.relay import Pace, Relay
from cdc.session import floors
from cdc.simulation.bookmarks import SOURCE, Shelf, open_slot
from cdc.simulation.broker import Broker, Reader
from cdc.simulation.due import OUTBOX, PREFIX, ROUTES
from cdc.simulation.fate import CrashError, Ending, Fate, StalledError
from cdc.simulation.history import write_history
from cdc.simulation.ingredients import Ingredients
from cdc.simulation.letters import LETTERS, NO_LETTERS
from cdc.simulation.producer import Producer
from cdc.simulation.server import Connection, Server
from cdc.simulation.verdict import Verdict, judge
from cdc.slots.bookmark import UNKEPT, Keeper

_SOURCE: Final = SOURCE.encode()
_OUTBOX: Final = Outbox({PREFIX: OUTBOX})
_ENDINGS: Final = (Ending.NONE, Ending.CRASH, Ending.CRASH, Ending.CRASH, Ending.FAILURE, Ending.FAILURE, Ending.STOP)
_LONGEST_LIFE: Final = 40
_MOST_LIVES: Final = 8
_RECORD_LIMITS: Final = (1000, 1, 3, 8)
_SPAN_RECORDS: Final = (256, 1, 2)
_STREAM_MEMORY: Final = (*(1 << 20,) * 15, 1)
_STATUS_S: Final = (1.0, 0.0)
_PROMPT_S: Final = 0.1
_NEVER: Final = 1e12
_RESTART_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, the choices that lead to it, and, if asked for, what happened line by line."""

    verdict: Verdict
    choices: Sequence[int]
    trace: Sequence[str] = ()


@dataclass(slots=True)
class _World:
    """What outlives the engine's processes, and whether the last one asked for whole transactions."""

    fate: Fate
    ingredients: Ingredients
    broker: Broker
    server: Server
    shelf: Shelf
    lives: int = 0
    whole: bool = False


def run_schedule(source: int | Sequence[int], *, traced: bool = False) -> Outcome:
    """Run the schedule of a seed, or the one that given choices make; the same source gives the same outcome."""
    fate = Fate(source, traced=traced)
    ingredients = Ingredients.choose(fate)
    broker = Broker(fate, ingredients)
    server = Server(write_history(fate, ingredients), broker, fate)
    world = _World(fate, ingredients, broker, server, Shelf(broker))
    failure = None
    try:
        while not server.finished:
            _live(world)
    except StalledError:
        failure = f"no end after {fate.steps} steps: the slot is at {server.confirmed}, the log at {server.end}"
    except Exception as error:  # noqa: BLE001  # whatever leaves the engine here is the finding
        failure = f"the engine stopped: {error!r}"
    due = (entry for entries in server.due for entry in entries)
    verdict = judge(due, broker.delivered, forgotten=server.forgotten, failure=failure)
    return Outcome(verdict, fate.choices, fate.trace or ())


def _live(world: _World) -> None:
    fate, server = world.fate, world.server
    world.lives += 1
    ending = _ENDINGS[fate.below(len(_ENDINGS))] if world.lives < _MOST_LIVES else Ending.NONE
    after = fate.below(_LONGEST_LIFE) if ending is not Ending.NONE else 0
    if fate.rarely(8):
        server.crash()
    if world.ingredients.meddling and fate.rarely(5):
        server.meddle()
    fate.begin_life(ending, after)
    fate.note("an engine starts")
    producer = Producer(world.broker)
    killed = whole = False
    try:
        _session(world, producer)
    except CrashError:
        killed = True
    except CdcError as error:
        if not fate.failed and not isinstance(decide(error.kind), Retry):
            raise
        if error.kind is Kind.STREAM_UNCLEAR:
            fate.note("what was streamed is unclear; the next engine asks for whole transactions")
            whole = True
    world.whole = whole
    fate.now += _RESTART_S
    # A killed process may have handed its queue to the network a moment before; any other has purged it.
    producer.die(purged=not killed or fate.below(2) == 0)


def _session(world: _World, producer: Producer) -> None:
    fate, server, broker, has = world.fate, world.server, world.broker, world.ingredients
    connection, confirmed = Connection(server, streaming=not world.whole, messages=has.messages), server.confirmed
    keeper: Keeper | None = UNKEPT
    if has.bookmark:
        keeper = open_slot(world.shelf, server, confirmed)
    if keeper is None:
        fate.note("the slot is refused; the operator accepts the gap")
        return
    search = Search(_SOURCE, frozenset(ROUTES))
    tails = tails_at_rest(Reader(broker), broker.partitions, search, lambda: connection.confirm(confirmed))
    broker.fence()
    server.waive()
    emission = Emission(truncated=broker.partitions if has.truncations else None, outbox=_OUTBOX)
    letters = LETTERS if has.letters else NO_LETTERS
    relay = Relay(
        Assembly(connection, memory=_STREAM_MEMORY[fate.below(len(_STREAM_MEMORY))]),
        producer,
        Capture(ROUTES, _SOURCE, clock=lambda: 0.0, emission=emission, letters=letters),
        confirmed=confirmed,
        floors=floors(tails),
        limits=Limits(
            records=_RECORD_LIMITS[fate.below(len(_RECORD_LIMITS))],
            span_records=_SPAN_RECORDS[fate.below(len(_SPAN_RECORDS))],
        ),
        pace=Pace(prompt=_PROMPT_S, status=_STATUS_S[fate.below(len(_STATUS_S))], report=_NEVER),
        bookmark=keeper,
        clock=lambda: fate.now,
    )
    relay.run(lambda: fate.stopping or server.finished)
