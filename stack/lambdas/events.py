"""Owns asynchronous invocations: a queue for each function, and the two more tries that AWS gives a failing one.

Must never lose one in silence. The queue is in memory, as no promise of the local stack rests on it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import structlog

from stack.lambdas.faults import ApiError, throttled
from stack.lambdas.invoking import Call, Invoker
from stack.lambdas.registry import Configuration, Function

_log = structlog.get_logger()


@dataclass(slots=True)
class _Queue:
    waiting: deque[tuple[Call, int]] = field(default_factory=deque)
    """Calls, with the number of tries that each has had."""
    workers: set[asyncio.Task[None]] = field(default_factory=set)


class Events:
    """The queues of all functions. Use it in one event loop only."""

    def __init__(self, service: Configuration, invoker: Invoker) -> None:
        self._service = service
        self._invoker = invoker
        self._queues = {name: _Queue() for name in service.functions}
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._held = 0

    def accept(self, function: Function, call: Call) -> None:
        """Queue a call.

        Raises:
            ApiError: The queue is full.
        """
        if self._held >= self._service.queue_limit:
            raise throttled("ConcurrentInvocationLimitExceeded")
        self._held += 1
        self._enqueue(function, call, tries=0)

    def close(self) -> int:
        """Stop; return how many calls are lost by that, which is logged too."""
        lost = self._held
        for handle in self._delayed.values():
            handle.cancel()
        for queue in self._queues.values():
            for worker in queue.workers:
                worker.cancel()
        if lost:
            _log.warning("events_lost", count=lost, remedy="they were in memory: send them again")
        self._held = 0
        return lost

    def _enqueue(self, function: Function, call: Call, tries: int) -> None:
        queue = self._queues[function.name]
        queue.waiting.append((call, tries))
        most = min(function.concurrency or self._service.concurrency, self._service.concurrency)
        if len(queue.workers) < most:
            worker = asyncio.create_task(self._work(function, queue))
            queue.workers.add(worker)
            worker.add_done_callback(queue.workers.discard)

    async def _work(self, function: Function, queue: _Queue) -> None:
        while queue.waiting:
            call, tries = queue.waiting.popleft()
            try:
                outcome = (await self._invoker.invoke(function, call, patient=True)).outcome
                error = outcome.error
            except ApiError as refused:
                error = refused.name
            if not error:
                self._held -= 1
            elif tries < len(self._service.retry_seconds):
                self._later(function, call, tries, error)
            else:
                self._held -= 1
                _log.error(
                    "event_failed", function=function.name, request_id=call.request_id, tries=tries + 1, error=error
                )

    def _later(self, function: Function, call: Call, tries: int, error: str) -> None:
        seconds = self._service.retry_seconds[tries]
        _log.warning(
            "event_retried", function=function.name, request_id=call.request_id, after_seconds=seconds, error=error
        )

        def again() -> None:
            del self._delayed[call.request_id]
            self._enqueue(function, call, tries + 1)

        self._delayed[call.request_id] = asyncio.get_running_loop().call_later(seconds, again)
