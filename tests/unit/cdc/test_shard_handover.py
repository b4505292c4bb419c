"""However engines with different numbers start, crash and write, each change is there once and keys keep their order.

The plan and the search of a topic's end are the real ones; database, topic and processes are lists.
"""

import random
from typing import Any

import pytest

from cdc.lsn import Lsn, Position
from cdc.readback import Search, Tail
from cdc.records import POSITION, SOURCE
from cdc.shards.names import WHOLE, Generation, Part
from cdc.shards.plan import Align, Copy, Drop, Run, Settle, SlotSeen, Step, plan

HISTORY = b"7/db"
PARTITIONS = 2
KEYS = 6
SHARDS = (1, 2, 3)
STEP = 8
PATIENCE = 60
WORLDS = 60
STEPS = 150
WEIGHTS = (4, 6, 8, 4, 4, 1, 1, 1)


class World:
    """Two engines on one database and one topic."""

    def __init__(self) -> None:
        """Begin with the whole."""
        self.log: list[tuple[int, int]] = []
        self.slots: dict[Part, int] = {WHOLE: STEP}
        self.saved = dict(self.slots)
        self.readers: dict[Part, str] = {}
        self.published: dict[Generation, int] = {}
        self.topic: list[tuple[int, dict[str, Any], int, int]] = []
        self.wanted = {"a": 1, "b": 1}
        self.steps: dict[str, tuple[Step, int] | None] = {"a": None, "b": None}

    @property
    def end(self) -> int:
        """The end of the log: where the next commit stands."""
        return STEP * (len(self.log) + 2)

    def write(self, key: int) -> None:
        """Commit a change of a key."""
        self.log.append((self.end, key))

    def restart(self, engine: str, shards: int) -> None:
        """Kill an engine and start it with a number of its own."""
        self.wanted[engine], self.steps[engine] = shards, None
        self.readers = {part: reader for part, reader in self.readers.items() if reader != engine}

    def server_crashes(self, kept: bool) -> None:
        """Kill the server: nobody reads, and what slots have confirmed may not have been saved."""
        self.readers.clear()
        for engine, at_work in self.steps.items():
            if at_work is not None and isinstance(at_work[0], Align):
                # A goal is good only as long as every slot was held.
                self.steps[engine] = None
        if not kept:
            self.slots = {part: min(self.saved[part], confirmed) for part, confirmed in self.slots.items()}

    def checkpoint(self) -> None:
        """Save what the slots have confirmed."""
        self.saved = dict(self.slots)

    def each_key_in_order(self) -> None:
        """What the topic has of a key is the beginning of what happened to it, each change once."""
        for key in range(KEYS):
            found = [lsn for _, _, lsn, of in self.topic if of == key]
            happened = [lsn for lsn, of in self.log if of == key]
            assert found == happened[: len(found)], key

    def ends(self) -> None:
        """Let one engine go on by itself: everything arrives, in shards as many as it wants."""
        self.restart("b", 1)
        self.restart("a", self.wanted["a"])
        for _ in range(PATIENCE):
            self.look("a")
            for index in range(max(SHARDS)):
                self.take("a", index)
            self.deliver("a", len(self.log), confirms=True)
        self.each_key_in_order()
        assert len(self.topic) == len(self.log)
        assert {part.generation.shards for part in self.slots} == {self.wanted["a"]}

    def look(self, engine: str) -> None:
        """Look at the slots and take the step that they call for, or the rest of the present one."""
        at_work = self.steps[engine]
        if at_work is None:
            seen = [SlotSeen(part, Lsn(lsn)) for part, lsn in self.slots.items()]
            self._take_step(engine, plan(seen, self.wanted[engine], lambda _: True))
        elif isinstance(at_work[0], Align):
            self._hand_over(engine, at_work[0], at_work[1])

    def take(self, engine: str, number: int) -> None:
        """Take the slot of a shard, and look for another generation once it is held."""
        if not (parts := self._parts(engine)):
            return
        part = parts[number % len(parts)]
        if part not in self.slots or (self.readers.setdefault(part, engine) == engine and self._others(part)):
            self._leave(engine)

    def _others(self, part: Part) -> bool:
        return any(each.generation != part.generation for each in self.slots)

    def deliver(self, engine: str, count: int, *, confirms: bool) -> None:
        """Let every shard of an engine deliver some changes, and confirm them or not."""
        for part in self._parts(engine):
            if self.readers.get(part) != engine:
                continue
            goal, shards = self._goal(engine), part.generation.shards
            own = [each for each in self.log if self.slots[part] <= each[0] < goal and each[1] % shards == part.index]
            for lsn, key in own[:count]:
                self._send(part, lsn, key)
            if confirms:
                reached = own[count][0] if len(own) > count else min(goal, self.end)
                self.slots[part] = max(self.slots[part], reached)

    def _parts(self, engine: str) -> tuple[Part, ...]:
        at_work = self.steps[engine]
        if at_work is None:
            return ()
        step = at_work[0]
        return step.old.parts if isinstance(step, Align) else step.generation.parts if isinstance(step, Run) else ()

    def _goal(self, engine: str) -> int:
        at_work = self.steps[engine]
        assert at_work is not None
        return at_work[1]

    def _leave(self, engine: str) -> None:
        self.restart(engine, self.wanted[engine])

    def _take_step(self, engine: str, step: Step) -> None:
        if isinstance(step, Run):
            self.steps[engine] = step, 2**62
        elif isinstance(step, Align):
            # Publications that are there stay, unless tidied away with their generation.
            self.published.setdefault(step.new, self.end)
            self.steps[engine] = step, 0
        elif isinstance(step, Copy):
            self._make(step.missing[0], step.at)
        elif isinstance(step, Drop):
            self._drop(step.left[0])
        elif isinstance(step, Settle) and not step.made:
            self._make(WHOLE, step.at)
        elif isinstance(step, Settle):
            self._drop(step.last)

    def _hand_over(self, engine: str, step: Align, goal: int) -> None:
        """Choose the goal once every slot is held; make the first new slot once every one has confirmed the goal."""
        if not all(self.readers.get(part) == engine for part in step.old.parts):
            return
        if not goal:
            self.steps[engine] = step, self.end
        elif all(self.slots[part] == goal for part in step.old.parts):
            assert self.published[step.new] <= goal
            self._make(step.new.parts[0], goal)
            self._leave(engine)

    def _make(self, part: Part, at: int) -> None:
        # A slot that is made is saved at once.
        self.slots[part] = self.saved[part] = at

    def _drop(self, part: Part) -> None:
        if part not in self.readers:
            del self.slots[part]
            self.saved.pop(part, None)

    def _send(self, part: Part, lsn: int, key: int) -> None:
        """Send a change unless its partition holds it, as the end of the partition tells."""
        partition, source = key % PARTITIONS, part.source(HISTORY)
        tail, search = Tail(), Search(source)
        own = (headers for number, headers, _, _ in reversed(self.topic) if number == partition)
        for headers in own:
            if not search.note(tail, headers):
                break
        if tail.position is None or tail.position.lsn < lsn:
            headers = {POSITION: Position(Lsn(lsn), 4).encode(), SOURCE: source}
            self.topic.append((partition, headers, lsn, key))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_each_change_is_there_once(seed: int) -> None:
    """Two engines, each with a number of its own that changes, killed at any moment, and a server that crashes."""
    rolls = random.Random(seed)
    for _ in range(WORLDS):
        world = World()
        for _ in range(STEPS):
            engine, number = rolls.choice("ab"), rolls.randrange(10)
            match rolls.choices(("write", "look", "take", "send", "confirm", "restart", "crash", "save"), WEIGHTS)[0]:
                case "write":
                    world.write(rolls.randrange(KEYS))
                case "look":
                    world.look(engine)
                case "take":
                    world.take(engine, number)
                case "restart":
                    world.restart(engine, rolls.choice(SHARDS))
                case "crash":
                    world.server_crashes(kept=number > 4)
                case "save":
                    world.checkpoint()
                case what:
                    world.deliver(engine, number % 4 + 1, confirms=what == "confirm")
            world.each_key_in_order()
        world.ends()
