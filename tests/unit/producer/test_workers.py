"""Threads that run calls for an event loop: which one is next, and what becomes of results (EV-9)."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from producer.workers import Workers

SECONDS = 20.0


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Three threads."""
    made = Workers(3)
    yield made
    made.close()


def test_the_thread_that_was_done_last_is_the_next(workers: Workers) -> None:
    """One call after the other stays with one thread, hence with one warm connection (LC-8)."""

    async def calls() -> set[int]:
        return {await workers.run(threading.get_ident) for _ in range(20)}

    assert len(asyncio.run(calls())) == 1


def test_as_many_calls_run_at_once_as_there_are_threads(workers: Workers) -> None:
    """A fourth waits for its turn, and none is forgotten (LC-7)."""
    together, running = threading.Barrier(3), threading.Semaphore(3)

    def work() -> bool:
        alone = running.acquire(blocking=False)
        together.wait(SECONDS)
        running.release()
        return alone

    async def calls() -> list[bool]:
        return await asyncio.gather(*(workers.run(work) for _ in range(9)))

    assert asyncio.run(calls()) == [True] * 9


def test_a_failure_is_the_callers(workers: Workers) -> None:
    """The thread goes on with the next call."""

    def fails() -> None:
        raise LookupError("this one")

    async def calls() -> str:
        with pytest.raises(LookupError, match="this one"):
            await workers.run(fails)
        return await workers.run(lambda: "the next")

    assert asyncio.run(calls()) == "the next"


def test_a_caller_that_has_gone_blocks_nobody(workers: Workers) -> None:
    """Its call ends by itself, and the thread is free again."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(SECONDS)

    async def calls() -> list[str]:
        gone = workers.run(work)
        await asyncio.to_thread(begun.wait, SECONDS)
        gone.cancel()
        go_on.set()
        return await asyncio.gather(*(workers.run(lambda: "answered") for _ in range(6)))

    assert asyncio.run(calls()) == ["answered"] * 6


def test_each_thread_prepares_itself_before_its_first_call(workers: Workers) -> None:
    """Connections are opened at the start, each by the thread that will use it (LC-7)."""
    prepared: list[int] = []
    workers.first(2, lambda: prepared.append(threading.get_ident()))

    async def calls() -> int:
        thread: int = await workers.run(threading.get_ident)
        return thread

    assert asyncio.run(calls()) in prepared
    workers.close()
    assert len(set(prepared)) == 2


def test_the_end_waits_for_the_call_under_way() -> None:
    """What was accepted is done; a loop that is closed is told nothing."""
    workers, done = Workers(1), threading.Event()
    begun = threading.Event()

    def work() -> None:
        begun.set()
        done.wait(SECONDS)

    async def leave() -> None:
        workers.run(work)
        await asyncio.to_thread(begun.wait, SECONDS)

    asyncio.run(leave())
    done.set()
    workers.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "producer-0"]
