"""The states of an instance: every order in which runtime, caller and process may come."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from stack.lambdas.faults import Outcome, timed_out
from stack.lambdas.instance import Instance, Invocation, NotDeliveredError, RuntimeRefusedError, State

DONE = Outcome(b'"done"')


def run(story: Coroutine[Any, Any, None]) -> None:
    """Run a story, with a bound."""
    asyncio.run(asyncio.wait_for(story, 5))


def call(request_id: str = "1") -> Invocation:
    """Return an invocation."""
    return Invocation(request_id, b"{}", "arn", 0, "trace")


async def _waiting() -> tuple[Instance, asyncio.Task[Invocation]]:
    """Return an instance whose runtime waits for its first invocation."""
    instance = Instance("0")
    fetch = asyncio.create_task(instance.fetch())
    assert await instance.ready() is None
    return instance, fetch


def test_an_invocation_goes_to_the_waiting_runtime_and_back() -> None:
    """Starting, idle, busy, idle (issue 7, item 1)."""

    async def story() -> None:
        instance, fetch = await _waiting()
        assert instance.state is State.IDLE
        outcome = instance.give(call())
        assert (instance.state, await fetch) == (State.BUSY, call())
        instance.answer("1", DONE)
        assert (instance.state, await outcome) == (State.IDLE, DONE)

    run(story())


def test_an_invocation_may_come_before_the_runtime_asks() -> None:
    """After an answer the instance is free at once, and `next` finds what was given meanwhile."""

    async def story() -> None:
        instance, fetch = await _waiting()
        instance.give(call())
        await fetch
        instance.answer("1", DONE)
        outcome = instance.give(call("2"))
        assert (await instance.fetch()).request_id == "2"
        instance.answer("2", DONE)
        assert await outcome == DONE

    run(story())


def test_only_the_invocation_under_way_is_answered() -> None:
    """Not another one, not one that was never fetched, not twice."""

    async def story() -> None:
        instance, fetch = await _waiting()
        with pytest.raises(RuntimeRefusedError):
            instance.answer("1", DONE)
        instance.give(call())
        await fetch
        with pytest.raises(RuntimeRefusedError):
            instance.answer("2", DONE)
        instance.answer("1", DONE)
        with pytest.raises(RuntimeRefusedError):
            instance.answer("1", DONE)
        instance.give(call("2"))
        with pytest.raises(RuntimeRefusedError):
            instance.answer("2", DONE)

    run(story())


def test_a_runtime_asks_once_at_a_time() -> None:
    """A second `next` while one waits is refused."""

    async def story() -> None:
        instance, fetch = await _waiting()
        with pytest.raises(RuntimeRefusedError):
            await instance.fetch()
        instance.end(0)
        with pytest.raises(RuntimeRefusedError):
            await fetch

    run(story())


def test_a_runtime_that_asks_again_without_an_answer_has_failed() -> None:
    """The caller is not left waiting."""

    async def story() -> None:
        instance, fetch = await _waiting()
        outcome = instance.give(call())
        await fetch
        again = asyncio.create_task(instance.fetch())
        assert (await outcome).error == "Runtime.ExitError"
        instance.end(0)
        with pytest.raises(RuntimeRefusedError):
            await again

    run(story())


def test_the_end_of_the_process_is_the_outcome() -> None:
    """With its code, or with the reason for which it was killed."""

    async def story() -> None:
        instance, fetch = await _waiting()
        outcome = instance.give(call())
        await fetch
        instance.end(-9)
        assert b"RequestId: 1 Error: Runtime exited with error: signal: killed" in (await outcome).body
        instance, fetch = await _waiting()
        outcome = instance.give(call())
        await fetch
        instance.condemn(timed_out("1", 3))
        instance.end(-9)
        assert await outcome == timed_out("1", 3)

    run(story())


def test_what_was_not_fetched_may_go_to_another_instance() -> None:
    """A process that ended between its answer and its next `next` loses no invocation."""

    async def story() -> None:
        instance, fetch = await _waiting()
        instance.give(call())
        await fetch
        instance.answer("1", DONE)
        outcome = instance.give(call("2"))
        instance.end(1)
        with pytest.raises(NotDeliveredError):
            await outcome
        with pytest.raises(NotDeliveredError):
            instance.give(call("3"))

    run(story())


def test_a_failed_start_says_why() -> None:
    """What the runtime reported; without a report, how the process ended."""

    async def story() -> None:
        instance = Instance("1")
        instance.fail_init(Outcome(b"{}", "ImportError"))
        instance.end(1)
        assert await instance.ready() == Outcome(b"{}", "ImportError")
        instance = Instance("1")
        instance.end(3)
        failure = await instance.ready()
        assert failure is not None
        assert b"RequestId: 1 Error: Runtime exited with error: exit status 3" in failure.body
        instance, fetch = await _waiting()
        with pytest.raises(RuntimeRefusedError):
            instance.fail_init(DONE)
        fetch.cancel()

    run(story())


def test_a_busy_instance_takes_no_other_invocation() -> None:
    """Nor does one that has not started: both are faults of ours."""

    async def story() -> None:
        with pytest.raises(RuntimeError, match="starting"):
            Instance("1").give(call())
        instance, fetch = await _waiting()
        instance.give(call())
        with pytest.raises(RuntimeError, match="busy"):
            instance.give(call("2"))
        await fetch

    run(story())
