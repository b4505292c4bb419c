"""The first bytes of a session, rightly and wrongly written."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.iam_gateway import wire
from stack.iam_gateway.wire import Asked, Cancel, Startup, WireError

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


class Sent:
    """What a client has sent, and how much of it was read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read = 0

    async def __call__(self, count: int) -> bytes:
        """Give so many bytes, or say that there are no more."""
        part = self.data[self.read : self.read + count]
        self.read += len(part)
        if len(part) < count:
            raise EOFError
        return part


def run(read: Callable[[Sent], Any], data: bytes) -> tuple[Any, int]:
    """Return what a reader gives, and how many bytes it has taken."""
    sent = Sent(data)
    return asyncio.run(read(sent)), sent.read


@settings(deadline=None)
@given(parameters=st.dictionaries(NAMES, NAMES), user=NAMES)
def test_a_startup_message_is_read_and_written_alike(parameters: dict[str, str], user: str) -> None:
    """What the server gets is what the client said, without the protocol's own options."""
    said = {"user": user, **{name: value for name, value in parameters.items() if name != "user"}}
    plain = {name: value for name, value in said.items() if not name.startswith("_pq_.")}
    startup, taken = run(wire.read_opening, Startup(0, said, ()).message() + b"and more")
    assert isinstance(startup, Startup)
    assert (startup.user, startup.parameters) == (user, plain)
    assert startup.message() == Startup(0, plain, ()).message()
    assert taken == len(Startup(0, said, ()).message())


def test_requests_before_the_login_are_told_apart() -> None:
    """TLS, GSS and a cancellation, which is handed on as it came."""
    assert run(wire.read_opening, struct.pack("!ii", 8, 80877103)) == (Asked.TLS, 8)
    assert run(wire.read_opening, struct.pack("!ii", 8, 80877104)) == (Asked.GSS, 8)
    message = struct.pack("!iiii", 16, 80877102, 4711, -1)
    assert run(wire.read_opening, message) == (Cancel(message), 16)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([0, 196608, 196610, 80877102, 80877103, 80877104, 131072]))
def test_garbage_is_a_protocol_error_and_never_another(body: bytes, code: int) -> None:
    """Whatever follows the length, with a known code before it or without."""
    for data in (body, struct.pack("!i", code) + body, struct.pack("!i", code) + b"user\0me\0" + body):
        with suppress(WireError):
            assert isinstance(wire.opening(data), Asked | Cancel | Startup)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_a_length_bounds_what_is_read(data: bytes) -> None:
    """An impossible length is refused before anything is read for it."""
    for read, head, most in ((wire.read_opening, b"", wire.MAX_STARTUP), (wire.read_password, b"p", wire.MAX_PASSWORD)):
        for length in (-(2**31), -1, 0, 3, most + 1, 2**31 - 1):
            sent = Sent(head + struct.pack("!i", length) + data)
            with pytest.raises(WireError):
                asyncio.run(read(sent))
            assert sent.read == len(head) + 4
        with pytest.raises((WireError, EOFError)):
            asyncio.run(read(Sent(data)))


def test_a_password_ends_with_its_text() -> None:
    """Nothing may hide behind the zero byte."""
    assert run(wire.read_password, b"p" + struct.pack("!i", 9) + b"word\0")[0] == b"word"
    for body in (b"word", b"wo\0d\0", b"\0\0"):
        with pytest.raises(WireError):
            run(wire.read_password, b"p" + struct.pack("!i", len(body) + 4) + body)


def test_a_welcome_is_nothing_but_a_welcome() -> None:
    """A server that asks for a password has not let the session in."""
    assert wire.is_welcome(b"R" + struct.pack("!ii", 8, 0))
    assert not wire.is_welcome(wire.ASK_PASSWORD)
    with pytest.raises(WireError):
        run(wire.read_answer, b"R" + struct.pack("!i", 10**9))
