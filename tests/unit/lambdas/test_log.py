"""The log of a process, over a real pipe."""

import asyncio
import os

from stack.lambdas.process import Log


def test_a_log_is_whole_lines_and_a_tail() -> None:
    """Lines are told when they end, the last one when the pipe closes; the tail begins where it is told to (LC-91)."""

    async def story() -> list[str]:
        told: list[str] = []
        log = Log(told.append)
        os.write(log.write_end, b"one\ntw")
        log.drain()
        assert told == ["one"]
        log.begin()
        log.note("START\n")
        os.write(log.write_end, b"o\n\nthree \xff")
        log.drain()
        assert log.tail() == b"START\no\n\nthree \xff"
        os.close(log.write_end)
        log.close()
        log.drain()
        return told

    assert asyncio.run(story()) == ["one", "two", "three \ufffd"]


def test_a_log_that_grows_while_it_is_read_holds_up_nobody() -> None:
    """A look at it ends, and the next one goes on."""

    async def story() -> None:
        told: list[str] = []

        def tell(line: str) -> None:
            told.append(line)
            if len(told) < 1000:
                os.write(log.write_end, b"another\n")

        log = Log(tell)
        os.write(log.write_end, b"one\n")
        log.drain()
        assert 1 <= len(told) < 10
        before = len(told)
        log.drain()
        assert before < len(told) < 20
        os.close(log.write_end)
        # What is written from here on has no reader, and no writer either.
        told.extend(["closed"] * 1000)
        log.close()

    asyncio.run(story())


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    """It is told in pieces, and the tail is 4 KB."""

    async def story() -> list[str]:
        told: list[str] = []
        log = Log(told.append)
        for _ in range(20):
            log.add(b"x" * 10_000)
        assert len(log.tail()) == 4096
        os.close(log.write_end)
        log.close()
        return told

    told = asyncio.run(story())
    assert "".join(told) == "x" * 200_000
    assert len(told) == 3
