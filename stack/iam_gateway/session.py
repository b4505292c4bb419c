"""One connection of a client, from its first byte to its last.

Owns the order of the door: TLS, who, password, server, and then bytes both ways. Whatever a client sends, its
connection and the one to the server end; the login has a time limit, and no buffer grows with what is sent.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Final

import psycopg
import structlog

from stack.iam_gateway import wire
from stack.iam_gateway.admission import Admission, RefusedError
from stack.iam_gateway.settings import GatewaySettings
from stack.iam_gateway.wire import Asked, Cancel, Startup, WireError

_log = structlog.get_logger()

_CHUNK: Final = 65_536
_CLOSE_SECONDS: Final = 2.0
_ENCRYPTION_REQUESTS: Final = 2
"""libpq asks for GSS once, then for TLS once."""
_NAME: Final = 63

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_BROKEN = (OSError, EOFError, TimeoutError, ssl.SSLError)


class Sessions:
    """Serve clients, each by a call of `serve`."""

    def __init__(self, settings: GatewaySettings, admission: Admission, tls: ssl.SSLContext) -> None:
        self._settings = settings
        self._admission = admission
        self._tls = tls

    async def serve(self, client: socket.socket) -> None:
        """Serve one accepted, non-blocking socket until either side ends, and close it.

        Raises nothing for whatever client, server or network do.
        """
        ends: list[asyncio.StreamWriter] = []
        try:
            async with asyncio.timeout(self._settings.startup_seconds):
                pair = await self._enter(client, ends)
            if pair is not None:
                await _splice(*pair)
        except WireError as error:
            _log.warning("connection_broken", reason=str(error))
        except TimeoutError:
            _log.warning("connection_broken", reason="the login took too long")
        except EOFError:
            # A probe of the port, or libpq, which comes again when it has asked for a password.
            _log.debug("connection_left")
        except _BROKEN as error:
            _log.info("connection_broken", reason=type(error).__name__)
        finally:
            for writer in ends:
                await _close(writer)
            client.close()

    async def _enter(self, client: socket.socket, ends: list[asyncio.StreamWriter]) -> tuple[_Streams, _Streams] | None:
        """Return the client's and the server's streams after the login, or None when there is nothing to splice."""
        first = await self._open(client)
        if isinstance(first, Cancel):
            await self._cancel(first, ends)
            return None
        reader, writer = await self._encrypted(client)
        ends.append(writer)
        startup = await wire.read_opening(reader.readexactly)
        if isinstance(startup, Cancel):
            await self._cancel(startup, ends)
            return None
        if isinstance(startup, Asked):
            raise WireError("encryption is asked for twice")
        try:
            return (reader, writer), await self._log_in(startup, reader, writer, ends)
        except RefusedError as refusal:
            _log.warning("login_refused", user=startup.user[:_NAME], code=refusal.code, reason=refusal.reason)
            writer.write(wire.fatal(refusal.code, refusal.answer))
        return None

    async def _open(self, client: socket.socket) -> Cancel | None:
        """Read from the bare socket until the client has been told to begin TLS.

        Exactly the bytes of each message are taken, so whatever is sent behind it in plain text meets the TLS
        handshake, and never the session.
        """
        loop = asyncio.get_running_loop()

        async def exactly(count: int) -> bytes:
            data = b""
            while len(data) < count:
                part = await loop.sock_recv(client, count - len(data))
                if not part:
                    raise EOFError
                data += part
            return data

        for _ in range(_ENCRYPTION_REQUESTS):
            message = await wire.read_opening(exactly)
            match message:
                case Asked.TLS:
                    await loop.sock_sendall(client, wire.ACCEPT_TLS)
                    return None
                case Asked.GSS:
                    await loop.sock_sendall(client, wire.REFUSE_ENCRYPTION)
                case Cancel():
                    return message
                case Startup():
                    _log.warning("login_refused", user=message.user[:_NAME], code="28000", reason="no TLS")
                    await loop.sock_sendall(client, wire.fatal("28000", _no_encryption(message, client)))
                    raise EOFError
        raise WireError("encryption is asked for again and again")

    async def _encrypted(self, client: socket.socket) -> _Streams:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_CHUNK, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            client,
            ssl=self._tls,
            ssl_handshake_timeout=self._settings.startup_seconds,
            ssl_shutdown_timeout=_CLOSE_SECONDS,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _log_in(
        self,
        startup: Startup,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: list[asyncio.StreamWriter],
    ) -> _Streams:
        if startup.minor or startup.options:
            writer.write(wire.negotiate(startup.options))
        writer.write(wire.ASK_PASSWORD)
        await writer.drain()
        password = await wire.read_password(reader.readexactly)
        try:
            by = await self._admission.admit(startup.user, password)
            upstream = await self._upstream(ends)
            upstream[1].write(startup.message())
            kind, answer = await wire.read_answer(upstream[0].readexactly)
        except (*_BROKEN, psycopg.Error) as error:
            raise RefusedError(
                "57P03", "the database behind the gateway cannot be reached", f"server: {type(error).__name__}"
            ) from None
        if not wire.is_welcome(answer) and kind != b"E":
            raise RefusedError(
                "28000",
                "the database behind the gateway asks for a password: let it trust the gateway's address",
                "the server does not trust the gateway",
            )
        # Before the client hears of it, as for a refusal: whoever was let in is in the log by then.
        _log.info("login", user=startup.user[:_NAME], by=by)
        # What else the server says, such as that there is no such database, the client reads itself.
        writer.write(answer)
        return upstream

    async def _upstream(self, ends: list[asyncio.StreamWriter]) -> _Streams:
        streams = await asyncio.open_connection(
            self._settings.upstream_host, self._settings.upstream_port, limit=_CHUNK
        )
        ends.append(streams[1])
        return streams

    async def _cancel(self, request: Cancel, ends: list[asyncio.StreamWriter]) -> None:
        reader, writer = await self._upstream(ends)
        writer.write(request.message)
        await writer.drain()
        # The server closes when it has acted; so does the gateway then, and the client knows.
        await reader.read(1)


def _no_encryption(startup: Startup, client: socket.socket) -> str:
    host = client.getpeername()[0]
    database = startup.parameters.get("database", startup.user)
    return (
        f'no pg_hba.conf entry for host "{host}", user "{startup.user}", database "{database}", no encryption:'
        " connect with sslmode=verify-full"
    )


async def _splice(one: _Streams, other: _Streams) -> None:
    """Carry bytes both ways until either side ends."""
    pumps = [
        asyncio.create_task(_pump(one[0], other[1])),
        asyncio.create_task(_pump(other[0], one[1])),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Send what is left and close; a peer that does not read is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await writer.wait_closed()
    except _BROKEN:
        with suppress(*_BROKEN):
            writer.transport.abort()
