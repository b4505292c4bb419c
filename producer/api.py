"""The API: a request in, an answer out.

Owns the routes and which answer a failure gets. It knows nothing of Lambda or of the local server; both hand it a
`Request`. `Api.handle` never raises (EV-8).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import psycopg
import structlog

from database import Deadline, Failure, classify
from producer import answers, document
from producer.admission import Admission, Validator
from producer.answers import Answer
from producer.model import EventIn
from producer.refusals import RefusedError, StructureError
from producer.settings import ProducerSettings
from producer.store import EventStore, Stored

_log = structlog.get_logger()

EVENTS: Final = "/api/v1/events"
BULK: Final = "/api/v1/events/bulk"
HEALTH: Final = "/api/v1/events/health"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whoever brought it."""

    method: str
    path: str
    body: bytes
    request_id: str
    seconds: float
    """How long new attempts may begin."""


class Wake(Enum):
    """What a waker says about a database that cannot be reached."""

    STARTING = "starting"
    RESUMING = "resuming"
    UNKNOWN = "unknown"


Waker = Callable[[], Wake]
"""Asked once in a request that found no connection; may start the database (LC-20 to LC-24)."""

_WOKEN: Final = {Wake.STARTING: answers.starting, Wake.RESUMING: answers.resuming, Wake.UNKNOWN: answers.unreachable}


class Api:
    """Answer requests over one event store; threads may share it."""

    def __init__(
        self,
        settings: ProducerSettings,
        store: EventStore,
        validator: Validator | None = None,
        waker: Waker | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._validator = validator
        self._waker = waker
        self._routes: dict[tuple[str, str], Callable[[Request, Deadline], Answer]] = {
            ("POST", EVENTS): self._one,
            ("POST", BULK): self._bulk,
            ("GET", HEALTH): self._health,
            **{("OPTIONS", path): self._preflight for path in (EVENTS, BULK, HEALTH)},
        }

    def handle(self, request: Request) -> Answer:
        """Return the answer to any request; never raises."""
        try:
            route = self._routes.get((request.method, request.path))
            if route is None:
                return answers.not_found()
            if len(request.body) > self._settings.max_body_bytes:
                return answers.too_large(self._settings.max_body_bytes)
            # An event that finds no database must still have time to ask for it.
            kept = self._settings.wake_seconds if request.method == "POST" else 0.0
            return route(request, Deadline.after(request.seconds - kept))
        except RefusedError as refusal:
            return answers.refused(refusal)
        except Exception as error:  # noqa: BLE001 - EV-8; not swallowed, but logged
            return self._unexpected(error, request)

    def _one(self, request: Request, deadline: Deadline) -> Answer:
        admission = self._admission()
        parsed = document.parse(request.body)
        checked = admission.structure(parsed)
        event = admission.admit(checked, parsed, request.body.decode())
        try:
            stored = self._store.store(event, deadline)
        except psycopg.Error as error:
            return self._store_failed(error, request)
        return answers.processed(event.id) if stored is Stored.NEW else answers.conflict(event.id)

    def _bulk(self, request: Request, deadline: Deadline) -> Answer:
        began, now = time.perf_counter(), time.time()
        admission = self._admission()
        parsed = document.parse(request.body)
        if not isinstance(parsed, list):
            raise StructureError("the body must be a JSON array of events")
        if len(parsed) > self._settings.max_bulk_events:
            return answers.too_many_events(len(parsed), self._settings.max_bulk_events)
        if not parsed:
            return answers.empty_array()
        checked = [admission.structure(one, f"event {at}: ") for at, one in enumerate(parsed)]
        texts = list(document.elements(request.body.decode()))

        done = 0
        errors: list[str] = []
        for at, event in enumerate(zip(checked, parsed, texts, strict=True)):
            try:
                reason = self._element(admission, event, deadline)
            except psycopg.Error as error:
                if classify(error) is Failure.CONNECTION and done == 0:
                    return self._store_failed(error, request)
                reason = self._told(error, request)
            except Exception as error:  # noqa: BLE001 - EV-34: a failed event does not stop the others
                reason = "internal error"
                self._unexpected(error, request)
            if reason is None:
                done += 1
            else:
                errors.append(f"Event {at}: {reason}")
        took_ms = round((time.perf_counter() - began) * 1000)
        return answers.bulk_processed(done, errors, round(now * 1000), took_ms)

    def _element(
        self, admission: Admission, event_in: tuple[EventIn, dict[str, Any], str], deadline: Deadline
    ) -> str | None:
        """Store one event of an array in a transaction of its own; return why it failed, or None."""
        if deadline.remaining() <= 0:
            return "not attempted, the time of the request is up"
        try:
            event = admission.admit(*event_in)
        except RefusedError as refusal:
            return str(refusal)
        if self._store.store(event, deadline) is Stored.DUPLICATE:
            return f"duplicate event id '{event.id}'"
        return None

    def _health(self, _request: Request, deadline: Deadline) -> Answer:
        # Never asks the waker: a monitor must not start a stopped database (LC-72).
        try:
            self._store.ping(deadline)
        except psycopg.Error as error:
            text = self._store.public_text(error)
            _log.warning("health_check_failed", failure=classify(error).label, error=text)
            return answers.unhealthy(text)
        return answers.healthy()

    def _preflight(self, _request: Request, _deadline: Deadline) -> Answer:
        return answers.preflight()

    def _admission(self) -> Admission:
        return Admission(datetime.now(UTC), self._settings.copied_fields, self._validator)

    def _store_failed(self, error: psycopg.Error, request: Request) -> Answer:
        text = self._told(error, request)
        match classify(error):
            case Failure.CONNECTION:
                return _WOKEN[self._wake()]()
            case Failure.DATA:
                return answers.refused(StructureError(text))
            case _:
                return answers.store_failed(text)

    def _told(self, error: psycopg.Error, request: Request) -> str:
        text = self._store.public_text(error)
        _log.error(
            "store_failed",
            request_id=request.request_id,
            failure=classify(error).label,
            sqlstate=error.sqlstate,
            error=text,
        )
        return text

    def _wake(self) -> Wake:
        if self._waker is None:
            return Wake.UNKNOWN
        try:
            return self._waker()
        except Exception as error:  # noqa: BLE001 - LC-24: a failing waker changes nothing for the sender
            _log.warning("waker_failed", error=type(error).__name__)
            return Wake.UNKNOWN

    def _unexpected(self, error: Exception, request: Request) -> Answer:
        # The text may repeat a sender's value and the frames hold credentials: log where it happened, and no more.
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        at = f"{frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}" if frame is not None else None
        _log.error("request_failed", request_id=request.request_id, error=type(error).__name__, at=at)
        return answers.unexpected()
