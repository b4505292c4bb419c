"""Threads that run the handler for an event loop, each with its own database connection.

Owns which of them works next: the one that was last done, because its connection, and the server's process behind it,
are still in the processor's caches. It costs a third of what a pool of `concurrent.futures` does, for that asks locks
and wakes waiters for each call. Everything but the work itself happens in the thread of the loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any

Work = Callable[[], Any]


class Workers:
    """Keep some threads for as long as the process serves.

    Args:
        count: How many; so many calls run at once, the others wait for their turn.
    """

    def __init__(self, count: int) -> None:
        self._idle = [_Worker(self, number) for number in range(count)]
        self._threads = [worker.thread for worker in self._idle]
        self._waiting: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._ends: list[SimpleQueue[Any]] = [worker.tasks for worker in self._idle]

    def first(self, count: int, work: Work) -> None:
        """Let each of the first `count` threads do something before its first call; must not raise."""
        for worker in self._idle[::-1][:count]:
            worker.tasks.put((work, None))

    def run(self, work: Work) -> "asyncio.Future[Any]":
        """Return the future result of a call; only in the thread of a running loop."""
        future = asyncio.get_running_loop().create_future()
        if self._idle:
            self._idle.pop().tasks.put((work, future))
        else:
            self._waiting.append((work, future))
        return future

    def settle(self, worker: "_Worker", future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
        """Hand over a result and give the thread its next call; only in the thread of the loop."""
        if self._waiting:
            worker.tasks.put(self._waiting.popleft())
        else:
            self._idle.append(worker)
        if future.done():  # its caller is gone
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def close(self) -> None:
        """Wait for the calls under way, then end the threads."""
        for tasks in self._ends:
            tasks.put(None)
        for thread in self._threads:
            thread.join()


class _Worker:
    """Hold one thread and what it has to do."""

    def __init__(self, workers: Workers, number: int) -> None:
        self.tasks: SimpleQueue[tuple[Work, asyncio.Future[Any] | None] | None] = SimpleQueue()
        self._workers = workers
        self.thread = Thread(target=self._run, name=f"producer-{number}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (task := self.tasks.get()) is not None:
            work, future = task
            result = error = None
            try:
                result = work()
            except Exception as caught:  # noqa: BLE001 - the caller's to handle
                error = caught
            if future is not None:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    future.get_loop().call_soon_threadsafe(self._workers.settle, self, future, result, error)
            # Nothing of a request is kept until the next one.
            del task, work, future, result, error
