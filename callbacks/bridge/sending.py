"""Owns the HTTP connections to the Lambda service, a thread for each: the only module here that knows urllib3.

Threads, because urllib3 needs an eighth of the processor time of the asynchronous clients, which is what a call costs.
They are daemons: one that waits for a function holds up nobody's end.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Final

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

_CONNECT_SECONDS: Final = 1.0


class UnreachableError(Exception):
    """No connection: the request was not sent."""


class BrokenError(Exception):
    """The connection ended before the answer: what became of the request is not known."""


class LateError(Exception):
    """The time of the request is over."""


@dataclass(frozen=True, slots=True)
class Response:
    """What the service said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Job:
    path: str
    body: bytes
    headers: Mapping[str, str]
    left: Callable[[], float]
    result: asyncio.Future[Response]


class Sender:
    """Send requests to one service, as many at once as there are threads; the others wait in order."""

    def __init__(self, url: str, threads: int) -> None:
        """Start the threads in the running loop's process; connections are opened when they are first needed."""
        self._loop = asyncio.get_running_loop()
        self._pool = urllib3.connection_from_url(url, maxsize=threads, retries=False)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = threads
        for number in range(threads):
            Thread(target=self._work, name=f"callback-{number}", daemon=True).start()

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], left: Callable[[], float]) -> Response:
        """Return the answer; `left` gives the seconds that the request still has, also after it has waited.

        Raises:
            UnreachableError: There is no connection.
            BrokenError: It ended before the answer.
            LateError: No answer in time.
        """
        result: asyncio.Future[Response] = self._loop.create_future()
        self._jobs.put(_Job(path, body, headers, left, result))
        return await result

    def close(self) -> None:
        """Let the threads end after what they are doing."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._pool.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                answer: Response | Exception = self._send(job)
            except Exception as error:  # noqa: BLE001 - belongs to the one who waits
                answer = error
            try:
                self._loop.call_soon_threadsafe(_settle, job.result, answer)
            except RuntimeError:
                # The loop has ended, and with it whoever waited.
                return

    def _send(self, job: _Job) -> Response:
        seconds = job.left()
        if seconds <= 0 or job.result.cancelled():
            raise LateError
        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds)
        try:
            answer = self._pool.urlopen("POST", job.path, job.body, job.headers, timeout=timeout, redirect=False)
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise UnreachableError from error
        except ReadTimeoutError as error:
            raise LateError from error
        except HTTPError as error:
            raise BrokenError(type(error).__name__) from error
        return Response(answer.status, answer.headers, answer.data)


def _settle(result: asyncio.Future[Response], answer: Response | Exception) -> None:
    if result.done():
        return
    if isinstance(answer, Response):
        result.set_result(answer)
    else:
        result.set_exception(answer)
