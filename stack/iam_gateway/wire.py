"""The start of a PostgreSQL session, as bytes.

Owns reading what a client says before it is logged in, and the few messages that the gateway answers itself. It never
reads a byte more than a message has, and no message longer than its limit
(https://www.postgresql.org/docs/18/protocol-message-formats.html).
"""

import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

MAX_STARTUP: Final = 10_000
"""Bytes of a startup message, the server's own limit."""
MAX_PASSWORD: Final = 16_384
"""Bytes of a password message; a token with a session token has some 2,000."""
MAX_ANSWER: Final = 65_536

ACCEPT_TLS: Final = b"S"
REFUSE_ENCRYPTION: Final = b"N"
ASK_PASSWORD: Final = b"R" + struct.pack("!ii", 8, 3)
"""AuthenticationCleartextPassword."""

_CANCEL, _TLS, _GSS = 80877102, 80877103, 80877104

Receive = Callable[[int], Awaitable[bytes]]
"""Give exactly so many bytes, or raise EOFError."""


class WireError(Exception):
    """The client does not speak the protocol; the text says where, and repeats nothing of what it sent."""


class Asked(Enum):
    """What a client asks for before anything else."""

    TLS = "tls"
    GSS = "gss"


@dataclass(frozen=True, slots=True)
class Cancel:
    """A request to cancel the query of another session, as it came."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Startup:
    """Who wants to log in; `minor` is the protocol's minor version, `parameters` has no protocol options."""

    minor: int
    parameters: Mapping[str, str]
    options: tuple[str, ...]

    @property
    def user(self) -> str:
        """Return the role; never empty."""
        return self.parameters["user"]

    def message(self) -> bytes:
        """Return it for the server, in protocol 3.0; of a name that came twice the last one alone is left."""
        pairs = b"".join(_text(name) + _text(value) for name, value in self.parameters.items())
        return _framed(b"", struct.pack("!i", 3 << 16) + pairs + b"\0")


Opening = Asked | Cancel | Startup


async def read_opening(receive: Receive) -> Opening:
    """Return the next message of a client that is not yet logged in.

    Raises:
        WireError: It is no such message.
        EOFError: The client has gone.
    """
    head = await receive(4)
    (length,) = struct.unpack("!i", head)
    if not 8 <= length <= MAX_STARTUP:
        raise WireError("the first message has an impossible length")
    return opening(await receive(length - 4))


def opening(body: bytes) -> Opening:
    """Return the message with this body, which is what follows its length.

    Raises:
        WireError: It is none.
    """
    if len(body) < 4:
        raise WireError("the first message ends too early")
    (code,) = struct.unpack_from("!i", body)
    if code in {_TLS, _GSS}:
        if len(body) != 4:
            raise WireError("a request for encryption is longer than it may be")
        return Asked.TLS if code == _TLS else Asked.GSS
    if code == _CANCEL:
        if len(body) != 12:
            raise WireError("a request to cancel has not its length")
        return Cancel(_framed(b"", body))
    if code >> 16 != 3:
        raise WireError("the protocol is not version 3")
    return _startup(code & 0xFFFF, body[4:])


def _startup(minor: int, pairs: bytes) -> Startup:
    if not pairs.endswith(b"\0"):
        raise WireError("the startup message has no end")
    try:
        # The list ends with an empty name; each text before it with a zero byte.
        texts = [part.decode() for part in pairs[:-1].split(b"\0")][:-1]
    except UnicodeDecodeError:
        raise WireError("the startup message is not UTF-8") from None
    if len(texts) % 2 or not all(texts[::2]):
        raise WireError("the startup message is no list of pairs")
    given = dict(zip(texts[::2], texts[1::2], strict=True))
    if not given.get("user"):
        raise WireError("the startup message names no user")
    options = tuple(name for name in given if name.startswith("_pq_."))
    return Startup(minor, {name: value for name, value in given.items() if name not in options}, options)


async def read_password(receive: Receive) -> bytes:
    """Return what the client sends for a password.

    Raises:
        WireError: The message is none.
        EOFError: The client has gone, as libpq does when it has no password.
    """
    kind, length = struct.unpack("!ci", await receive(5))
    if kind != b"p" or not 5 <= length <= MAX_PASSWORD:
        raise WireError("no password message came")
    body = await receive(length - 4)
    if body.find(b"\0") != len(body) - 1:
        raise WireError("the password message does not end with its text")
    return body[:-1]


async def read_answer(receive: Receive) -> tuple[bytes, bytes]:
    """Return the kind of the server's next message and the whole message.

    Raises:
        WireError: It is longer than any answer at this point.
        EOFError: The server has gone.
    """
    head = await receive(5)
    kind, length = struct.unpack("!ci", head)
    if not 4 <= length <= MAX_ANSWER:
        raise WireError("the server's answer has an impossible length")
    return kind, head + await receive(length - 4)


def is_welcome(message: bytes) -> bool:
    """Return whether the server lets the session in without asking for anything."""
    return message == b"R" + struct.pack("!ii", 8, 0)


def negotiate(options: tuple[str, ...]) -> bytes:
    """Return that protocol 3.0 is spoken, and none of these protocol options."""
    names = b"".join(map(_text, options))
    return _framed(b"v", struct.pack("!ii", 0, len(options)) + names)


def fatal(code: str, message: str) -> bytes:
    """Return an ErrorResponse; `code` is the SQLSTATE."""
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": message}
    return _framed(b"E", b"".join(name.encode() + _text(value) for name, value in fields.items()) + b"\0")


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _framed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
