"""Owns the states of one instance as the Runtime API and the caller see it: starting, idle, busy, ended.

Must never touch a process or a socket: events come in as calls, and the waits are futures of the running loop.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum

from stack.lambdas.faults import Outcome, exited


class State(Enum):
    """Where an instance is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDED = "ended"


class RuntimeRefusedError(Exception):
    """A call of the runtime that does not fit the state, such as an answer to an invocation that is not its own."""


class NotDeliveredError(Exception):
    """The instance ended before its runtime had fetched the invocation, which may so be given to another."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the runtime fetches."""

    request_id: str
    payload: bytes
    arn: str
    deadline_ms: int
    trace_id: str
    client_context: str = ""


class Instance:
    """One sandbox. It takes one invocation at a time, in order, and ends once."""

    def __init__(self, request_id: str) -> None:
        """Start a life for the sake of one invocation, whose id its failures name until another is given."""
        self.state = State.STARTING
        self.request_id = request_id
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Outcome | None] = loop.create_future()
        self._fetch: asyncio.Future[Invocation] | None = None
        self._given: Invocation | None = None
        self._delivered = False
        self._outcome: asyncio.Future[Outcome] | None = None
        self._init_failure: Outcome | None = None
        self._why: Outcome | None = None

    async def ready(self) -> Outcome | None:
        """Wait for the end of the initialisation; return None, or how it failed."""
        return await asyncio.shield(self._ready)

    async def fetch(self) -> Invocation:
        """Answer `next`: wait for an invocation. The first call ends the initialisation.

        Raises:
            RuntimeRefusedError: The instance has ended, or another `next` waits.
        """
        if self.state is State.ENDED or self._fetch is not None:
            raise RuntimeRefusedError
        if self.state is State.STARTING:
            self.state = State.IDLE
            self._ready.set_result(None)
        # A runtime that asks for the next one has given up the one before: it would never answer that.
        if self._delivered and self._given is not None:
            self._settle(exited(self._given.request_id, 0))
        if self._given is None:
            self._fetch = asyncio.get_running_loop().create_future()
            try:
                await self._fetch
            finally:
                self._fetch = None
        if self._given is None:
            raise RuntimeRefusedError
        self._delivered = True
        return self._given

    def give(self, invocation: Invocation) -> asyncio.Future[Outcome]:
        """Take the next invocation, once idle; return the future of its outcome, which may be NotDeliveredError.

        Raises:
            NotDeliveredError: The instance has ended meanwhile.
        """
        if self.state is State.ENDED:
            raise NotDeliveredError
        if self.state is not State.IDLE:
            message = f"an instance that is {self.state.value} takes no invocation"
            raise RuntimeError(message)
        self.state = State.BUSY
        self.request_id = invocation.request_id
        self._given, self._delivered = invocation, False
        self._outcome = asyncio.get_running_loop().create_future()
        if self._fetch is not None and not self._fetch.done():
            self._delivered = True
            self._fetch.set_result(invocation)
        return self._outcome

    def answer(self, request_id: str, outcome: Outcome) -> None:
        """Take the answer of the runtime; the instance is then idle, and `next` may come a little later.

        Raises:
            RuntimeRefusedError: No such invocation is under way here.
        """
        if self.state is not State.BUSY or not self._delivered or self._given is None:
            raise RuntimeRefusedError
        if self._given.request_id != request_id:
            raise RuntimeRefusedError
        self._settle(outcome)

    def _settle(self, outcome: Outcome) -> None:
        self.state = State.IDLE
        self._given = None
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(outcome)

    def fail_init(self, outcome: Outcome) -> None:
        """Take the report that the initialisation failed; the process ends by itself, which is waited for.

        Raises:
            RuntimeRefusedError: The initialisation is over.
        """
        if self.state is not State.STARTING:
            raise RuntimeRefusedError
        self._init_failure = outcome

    def condemn(self, why: Outcome) -> None:
        """Say why the process is about to be killed; the first reason stays."""
        self._why = self._why or why

    def end(self, code: int) -> None:
        """Take the end of the process; whoever waits for this instance gets an answer."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        if not self._ready.done():
            self._ready.set_result(self._init_failure or self._why or exited(self.request_id, code))
        if self._given is not None and self._outcome is not None and not self._outcome.done():
            if self._why is not None:
                self._outcome.set_result(self._why)
            elif self._delivered:
                self._outcome.set_result(exited(self._given.request_id, code))
            else:
                self._outcome.set_exception(NotDeliveredError())
        self._given = None
        if self._fetch is not None and not self._fetch.done():
            self._fetch.set_exception(RuntimeRefusedError())
