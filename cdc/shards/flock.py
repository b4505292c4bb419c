"""Owns the processes of a generation's shards as one: started together, asked together, ended together.

What makes the rest sound: no shard outlives its parent (it sees the end of its pipe), and none goes on alone when
another has ended.
"""

import multiprocessing
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from cdc.lsn import Lsn
from cdc.settings import Settings
from cdc.shards import child
from cdc.shards.names import Part

_ANSWER_S: Final = 2.0
_STOP_S: Final = 30.0
_SPAWN: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a shard says of itself."""

    summary: dict[str, Any]
    exposition: bytes


@dataclass(slots=True)
class _Shard:
    part: Part
    process: SpawnProcess
    pipe: Connection
    said: set[str] = field(default_factory=set)
    """Of `child.HELD`, `ARRIVED` and `LOST`, what it has said."""
    answered: threading.Condition = field(default_factory=threading.Condition)
    telling: threading.Lock = field(default_factory=threading.Lock)
    answers: int = 0
    latest: Answer | None = None

    def listen(self) -> None:
        """Take what the shard sends, until it ends."""
        with suppress(EOFError, OSError):
            while True:
                what, *rest = self.pipe.recv()
                if what != child.LOOK:
                    self.said.add(what)
                    continue
                with self.answered:
                    self.latest = Answer(*rest)
                    self.answers += 1
                    self.answered.notify_all()

    def tell(self, what: str | Lsn) -> None:
        """Ask for figures, or give the goal; a shard that has ended hears nothing."""
        with suppress(OSError, ValueError), self.telling:
            self.pipe.send(what)


class Flock:
    """The shards of one generation, each a process."""

    def __init__(self, settings: Settings, parts: Sequence[Part], errand: child.Errand) -> None:
        """Start them."""
        self._asking = threading.Lock()
        self._shards: list[_Shard] = []
        for part in parts:
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(
                target=child.main, args=(settings, part, errand, theirs), name=f"shard {part.label}", daemon=True
            )
            process.start()
            # Ours must be the only end that is left when the shard dies, and theirs when we do.
            theirs.close()
            shard = _Shard(part, process, ours)
            self._shards.append(shard)
            threading.Thread(target=shard.listen, name=f"cdc-shard-{part.index}", daemon=True).start()

    def all_said(self, what: str) -> bool:
        """Say whether every shard has said it."""
        return all(what in shard.said for shard in self._shards)

    def any_said(self, what: str) -> bool:
        """Say whether one shard has said it."""
        return any(what in shard.said for shard in self._shards)

    def give(self, goal: Lsn) -> None:
        """Tell every shard where its generation ends."""
        for shard in self._shards:
            shard.tell(goal)

    def ended(self, seconds: float) -> tuple[Part, int] | None:
        """Return a shard that has ended, and its exit code; None if none does within so many seconds."""
        wait([shard.process.sentinel for shard in self._shards], seconds)
        for shard in self._shards:
            code = shard.process.exitcode
            if code is not None:
                # As a shell gives the end by a signal.
                return shard.part, code if code >= 0 else 128 - code
        return None

    def stop(self) -> int:
        """End them in order, by force those that do not; return the first exit code that is not 0, if there is one."""
        for shard in self._shards:
            shard.process.terminate()
        until = time.monotonic() + _STOP_S
        codes = []
        for shard in self._shards:
            shard.process.join(max(0.0, until - time.monotonic()))
            if shard.process.exitcode is None:
                shard.process.kill()
                shard.process.join()
            code = shard.process.exitcode or 0
            # One that was still loading has no handler of the signal yet.
            codes.append(0 if code == -signal.SIGTERM else code)
        return next((code if code >= 0 else 128 - code for code in codes if code), 0)

    def answers(self) -> dict[Part, Answer | None]:
        """Return what each shard says of itself; None of one that does not answer within two seconds."""
        with self._asking:
            before = [shard.answers for shard in self._shards]
            for shard in self._shards:
                shard.tell(child.LOOK)
            until = time.monotonic() + _ANSWER_S
            found: dict[Part, Answer | None] = {}
            for shard, count in zip(self._shards, before, strict=True):
                with shard.answered:
                    left = max(0.0, until - time.monotonic())
                    new = shard.answered.wait_for(lambda shard=shard, count=count: shard.answers > count, left)  # type: ignore[misc]
                    found[shard.part] = shard.latest if new else None
            return found
