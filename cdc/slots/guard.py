"""Owns the guard: a thread with a connection of its own that looks at the slot while the engine does whatever it does.

It measures, warns, makes the engine unready, and at the end of the budget does what it was told to. It also emits the
heartbeat, and ends the engine when its publication is not the one any more that it began with. It never touches the
loop: whatever it wants of it, it asks by ending the process in order. It works while the engine waits for Kafka, takes
a snapshot or stands by, which is when WAL piles up.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final, Protocol

import structlog
from psycopg import Connection

from cdc.catalog import read_server
from cdc.errors import CdcError, Kind
from cdc.lsn import Lsn
from cdc.policy import Stop, decide
from cdc.postgres import connect, translated
from cdc.settings import Settings
from cdc.slots.budget import BudgetAction, Held, Mark, WalBudget
from cdc.slots.slot import Retention, drop_slot, publication_oid, read_retention, snapshot_name
from cdc.slots.vigil import Heartbeat

_log: Final = structlog.get_logger(__name__)

PREFIX: Final = "headwater.heartbeat"
"""Of the heartbeat's logical messages; nobody else's are to have it."""
_SAY_AGAIN_S: Final = 60.0
_JOIN_S: Final = 1.0


class Watcher(Protocol):
    """Who is told; it must return at once."""

    def held(self, held: Held) -> None:
        """Take what the slot holds back now."""


class Guard:
    """Look at the slot every few seconds, and act on what it holds back."""

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher,
        stop: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin unarmed; `stop` asks the engine to end in order, from this thread."""
        self._settings = settings
        self._watcher = watcher
        self._stop = stop
        self._clock = clock
        self._ended = threading.Event()
        self._budget = WalBudget(settings.cdc_wal_budget_bytes)
        self._heartbeat = Heartbeat(settings.cdc_heartbeat_seconds)
        self._may_speak = True
        self._troubled = False
        self._said: tuple[Mark, float] = (Mark.WITHIN, 0.0)
        self._publication: int | None = None
        self._verdict: CdcError | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the guard while the block runs."""
        thread = threading.Thread(target=self._run, name="cdc-guard", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            # A look at a server that does not answer is not waited for.
            thread.join(_JOIN_S)

    def check(self) -> None:
        """Raise if the guard has ended the engine.

        Raises:
            CdcError: WAL_BUDGET or PUBLICATION_RECREATED; it has.
        """
        if self._verdict is not None:
            raise self._verdict

    def _run(self) -> None:
        period = self._heartbeat.look_every(self._settings.cdc_guard_seconds)
        while not self._ended.is_set():
            try:
                with closing(connect(self._settings.database_url.get_secret_value())) as connection:
                    self._begin(connection)
                    while not self._ended.wait(period):
                        self._look(connection)
            except CdcError as error:
                # The engine's own sessions say what is wrong with the database; here it only is not measured.
                if not self._troubled:
                    self._troubled = True
                    _log.warning("guard_blind", kind=error.kind.value, detail=str(error))
            self._ended.wait(period)

    def _begin(self, connection: Connection[Any]) -> None:
        keep = read_server(connection).slot_wal_keep_mb
        if self._settings.cdc_wal_budget_bytes is None and keep is not None and keep > 0:
            self._budget.budget_bytes = keep * 1024 * 1024
        self._troubled = False

    def _look(self, connection: Connection[Any]) -> None:
        self._look_at_publication(connection)
        slot = name = self._settings.slot_name
        retention = read_retention(connection, name)
        if retention is None:
            name = snapshot_name(slot)
            retention = read_retention(connection, name)
        if retention is None or retention.retained_bytes is None:
            return
        held = self._budget.take(self._clock(), retention.retained_bytes)
        self._watcher.held(held)
        self._say(held)
        if held.mark is Mark.SPENT and self._verdict is None:
            self._act(connection, name, held)
        elif name == slot:
            self._speak(connection, retention)

    def _look_at_publication(self, connection: Connection[Any]) -> None:
        name = self._settings.publication_name
        found = publication_oid(connection, name)
        if self._publication is None:
            self._publication = found
        elif found != self._publication and self._verdict is None:
            # PostgreSQL 18 sends nothing and says nothing while there is none; until now that was all that was lost.
            what = "dropped" if found is None else "dropped and created again"
            message = f"somebody has {what} the publication {name} while it was read: changes since may be missing"
            self._verdict = CdcError(Kind.PUBLICATION_RECREATED, message)
            self._stop()

    def _say(self, held: Held) -> None:
        mark, at = self._said
        if held.mark is Mark.WITHIN:
            self._said = (Mark.WITHIN, 0.0)
        elif held.mark > mark or self._clock() - at >= _SAY_AGAIN_S:
            self._said = (held.mark, self._clock())
            decision = decide(Kind.WAL_BUDGET)
            remedy = decision.remedy if isinstance(decision, Stop) else None
            _log.warning("wal_budget", mark=held.mark.name.lower(), detail=held.text, remedy=remedy)

    def _act(self, connection: Connection[Any], name: str, held: Held) -> None:
        action = self._settings.cdc_wal_budget_action
        if action is BudgetAction.WARN:
            return
        spent = f"the budget is used up: {held.text}"
        if action is BudgetAction.DROP_SLOT:
            with translated():
                connection.execute(
                    "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
                    " WHERE slot_name = %s AND active_pid IS NOT NULL",
                    (name,),
                )
            # Where somebody takes it again in between this fails, and the next look tries again.
            drop_slot(connection, name)
            spent = f"{spent}; the slot {name} was dropped to save the database's disk, a new snapshot is needed"
        self._verdict = CdcError(Kind.WAL_BUDGET, spent)
        _log.error("wal_budget_spent", action=action.value, slot=name, detail=spent)
        self._stop()

    def _speak(self, connection: Connection[Any], retention: Retention) -> None:
        if not self._may_speak or not retention.active or retention.confirmed is None or retention.lag_bytes is None:
            return
        end = Lsn(retention.confirmed + retention.lag_bytes)
        if not self._heartbeat.due(self._clock(), retention.confirmed, end):
            return
        try:
            with translated():
                connection.execute("SELECT pg_logical_emit_message(false, %s, '')", (PREFIX,))
        except CdcError as error:
            if connection.broken:
                raise
            # A standby, or no right to it: the keepalives that the engine asks for must do.
            self._may_speak = False
            _log.warning("heartbeat_refused", kind=error.kind.value, detail=str(error))
        else:
            _log.debug("heartbeat", lag_bytes=retention.lag_bytes)
