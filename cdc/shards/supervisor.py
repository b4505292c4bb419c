"""Owns the parent of the shards: step after step of the plan, with the processes that a step needs. Reads no change.

It looks at the slots, takes the step that they call for, and looks again. A crash of the parent is no case of its own:
its shards end with it, and the next one begins by looking.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import inf
from typing import Final

import structlog

from cdc.errors import DatabaseError, Kind
from cdc.retrying import patient
from cdc.settings import Settings, SnapshotMode
from cdc.shards.child import ARRIVED, HELD, LOST, Errand
from cdc.shards.flock import Flock
from cdc.shards.handover import Prepared, begin, choose, next_step, prepare, resume, still_open, tidy
from cdc.shards.names import WHOLE, WHOLE_GENERATION, Part
from cdc.shards.plan import Align, Birth, Run, Step
from cdc.shards.watch import Together
from cdc.shutdown import Shutdown, StopRequested
from cdc.watch.endpoint import serving

_log: Final = structlog.get_logger("cdc.shards")

_LOOK_S: Final = 0.02
_WATCH_S: Final = 1.0
_SAY_AGAIN_S: Final = 60.0


class Supervisor:
    """Bring the shards to the number that is asked for, and run them."""

    def __init__(self, settings: Settings, shutdown: Shutdown) -> None:
        """Begin without any process."""
        self._settings = settings
        self._shutdown = shutdown
        self._together = Together()
        self._failed: tuple[Step, int] | None = None
        """A step in which a shard ended by itself; taken for the end of all unless the next look shows another step."""

    def run(self) -> int | None:
        """Run until told to stop; return the exit code, or None once the whole is there and wanted.

        Raises:
            CdcError: Of a kind that waiting does not cure.
            StopRequested: The engine was told to stop while no shard was running.
        """
        settings = self._settings
        with ExitStack() as stack:
            if settings.cdc_http_port is not None:
                stack.enter_context(serving(self._together, settings.cdc_http_host, settings.cdc_http_port))
            while True:
                # Each step has its own patience: what went well before says nothing of it.
                step, code = patient(self._shutdown)(self._turn)
                if code is not None:
                    return code
                if step == Run(WHOLE_GENERATION):
                    return None

    def _turn(self) -> tuple[Step, int | None]:
        """Take one step; return it, and the exit code if it is the last one."""
        with self._shutdown.interruptible():
            step = next_step(self._settings)
        failed, self._failed = self._failed, None
        if failed is not None and failed[0] == step:
            return step, failed[1]
        _log.info("shards_step", step=type(step).__name__.lower(), detail=step.words)
        if isinstance(step, Birth):
            return step, self._birth(step)
        if isinstance(step, Align):
            return step, self._align(step)
        if isinstance(step, Run):
            return step, self._run(step)
        with self._shutdown.interruptible():
            self._together.phase = "handover"
            resume(self._settings, step, self._shutdown.check)
        return step, None

    def _birth(self, step: Birth) -> int | None:
        """Let the whole be born as always, with its snapshot; shards come of it by the first change of their number."""
        with self._running((WHOLE,), Errand.BIRTH, "snapshot") as flock:
            ended = self._end_of(flock)
            if ended is None:
                return flock.stop()
        if ended[1] == 0 and self._settings.cdc_snapshot_mode is SnapshotMode.ONLY:
            return 0
        if ended[1]:
            self._fallen(step, *ended)
        return None

    def _align(self, step: Align) -> int | None:
        with self._shutdown.interruptible():
            prepared = prepare(self._settings, step)
            left = self._short_ones(prepared)
        if left:
            ended, code = self._outlast(step, prepared, left)
            if not ended:
                return code
        with self._running(step.old.parts, Errand.END, "handover") as flock:
            try:
                with self._shutdown.interruptible():
                    if self._heard(flock, HELD, step):
                        meeting = choose(self._settings, step, prepared)
                        flock.give(meeting.at)
                        if self._heard(flock, ARRIVED, step):
                            begin(self._settings, step, meeting, self._shutdown.check)
            except StopRequested:
                return flock.stop()
        return None

    def _short_ones(self, prepared: Prepared) -> Mapping[str, int | None]:
        """Wait a moment for the transactions that were open; return those that still are."""
        until = time.monotonic() + _WATCH_S
        while (left := still_open(self._settings, prepared)) and time.monotonic() < until:
            self._shutdown.check()
            time.sleep(_WATCH_S / 10)
        return left

    def _outlast(self, step: Align, prepared: Prepared, left: Mapping[str, int | None]) -> tuple[bool, int | None]:
        """Let the old generation stream until the transactions that were open before have ended.

        Returns:
            Whether they have; and if not, the exit code, or None where the next look tells.
        """
        with self._running(step.old.parts, Errand.STREAM, "streaming") as flock:
            said = -inf
            try:
                with self._shutdown.interruptible():
                    while left:
                        if (now := time.monotonic()) >= said + _SAY_AGAIN_S:
                            said = now
                            _waits(left)
                        if (fallen := flock.ended(_WATCH_S)) is not None:
                            self._fallen(step, *fallen)
                            return False, None
                        self._shutdown.check()
                        left = still_open(self._settings, prepared)
            except StopRequested:
                return False, flock.stop()
        return True, None

    def _run(self, step: Run) -> int | None:
        with self._shutdown.interruptible():
            tidy(self._settings, step)
        if step.generation == WHOLE_GENERATION:
            return None
        with self._running(step.generation.parts, Errand.STREAM, "streaming") as flock:
            ended = self._end_of(flock)
            if ended is None:
                return flock.stop()
        self._fallen(step, *ended)
        return None

    def _heard(self, flock: Flock, what: str, step: Step) -> bool:
        """Wait until every shard has said it; return False when one has ended by itself before.

        Raises:
            DatabaseError: SLOT_ACTIVE, to be tried again from the beginning: a shard has lost its slot.
        """
        while not flock.all_said(what):
            ended = flock.ended(_LOOK_S)
            if flock.any_said(LOST):
                raise DatabaseError(Kind.SLOT_ACTIVE, "a shard has lost its slot before its generation had ended")
            if ended is not None:
                self._fallen(step, *ended)
                return False
            self._shutdown.check()
        return True

    def _end_of(self, flock: Flock) -> tuple[Part, int] | None:
        """Wait until a shard ends by itself, and return which, and its exit code; None when told to stop."""
        try:
            with self._shutdown.interruptible():
                while (ended := flock.ended(_WATCH_S)) is None:
                    self._shutdown.check()
        except StopRequested:
            return None
        return ended

    @contextmanager
    def _running(self, parts: tuple[Part, ...], errand: Errand, phase: str) -> Iterator[Flock]:
        """Run the shards while the block does; none is left afterwards."""
        flock = Flock(self._settings, parts, errand)
        self._together.phase, self._together.ask = phase, flock.answers
        try:
            yield flock
        finally:
            self._together.phase, self._together.ask = "opening", dict
            flock.stop()

    def _fallen(self, step: Step, part: Part, code: int) -> None:
        """Remember that a shard has ended by itself: the next look tells whether that is the end of all."""
        _log.warning("shard_ended", ended=part.label or "the whole", exit_code=code)
        self._failed = step, code


def _waits(left: Mapping[str, int | None]) -> None:
    processes = sorted(pid for pid in left.values() if pid is not None)
    _log.warning(
        "shards_wait_for_transactions",
        processes=processes,
        prepared=len(left) - len(processes),
        remedy="They had written when the number of shards was to change. Let them end, or end them.",
    )
