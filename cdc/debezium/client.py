"""Owns the conversation with Kafka Connect's REST interface: the one place that knows its paths. Decides nothing.

Source of facts: Kafka documentation, Connect's REST interface (KIP-875: stop, offsets).
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_fixed

from cdc.debezium.settings import ConnectSettings
from cdc.errors import CdcError, Kind

_TIMEOUT_S: Final = 30.0
_TRACE: Final = 2_000
_NOT_NOW: Final = frozenset({httpx.codes.CONFLICT, httpx.codes.SERVICE_UNAVAILABLE})
"""What a worker answers while its group rebalances, or before it has read its own topics: ask again."""


@dataclass(frozen=True, slots=True)
class State:
    """How a connector does, in Connect's own words: RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED."""

    connector: str
    tasks: tuple[str, ...]
    trace: str = ""
    """Why it, or its task, has failed."""

    @property
    def runs(self) -> bool:
        """Tell whether the connector and its task run."""
        return self.connector == "RUNNING" and bool(self.tasks) and set(self.tasks) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        """Tell whether the connector or a task has given up; Connect does not try again by itself."""
        return "FAILED" in (self.connector, *self.tasks)

    @property
    def stopped(self) -> bool:
        """Tell whether it is stopped in order and no task is left."""
        return self.connector == "STOPPED" and not self.tasks


class Connect:
    """One Connect cluster, and one connector of it.

    Args:
        settings: Its address, the connector's name, and the patience.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings
        self._path = f"/connectors/{settings.connect_connector}"
        self._client = httpx.Client(base_url=settings.connect_url, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def name(self) -> str:
        """The connector's name."""
        return self._settings.connect_connector

    def wait_until_up(self) -> None:
        """Wait until the worker answers and knows its connectors (CD-67: 30 tries, 2 s apart).

        Raises:
            CdcError: CONNECT, it does not.
        """
        last = "no answer"

        def ask() -> bool:
            nonlocal last
            try:
                answer = self._client.get("/connectors", timeout=min(_TIMEOUT_S, 5))
            except httpx.TransportError as error:
                last = type(error).__name__
                return False
            last = f"status {answer.status_code}"
            return answer.is_success

        try:
            self._patiently(ask)
        except RetryError:
            tries, url = self._settings.connect_tries, self._settings.connect_url
            raise CdcError(Kind.CONNECT, f"Kafka Connect at {url} did not answer in {tries} tries ({last})") from None

    def config(self) -> dict[str, str] | None:
        """Return the connector's present configuration, None when there is no such connector."""
        found = self._ask("GET", "/config", missing=True)
        return None if found is None else dict(found)

    def put(self, document: dict[str, str]) -> None:
        """Create or replace the connector's configuration; the same one twice changes nothing."""
        self._ask("PUT", "/config", document)

    def state(self) -> State | None:
        """Return how the connector does, None when there is no such connector or no worker has it yet."""
        found = self._ask("GET", "/status", missing=True)
        if found is None:
            return None
        parts = [found["connector"], *found["tasks"]]
        trace = next((str(each["trace"]) for each in parts if each.get("trace")), "")
        return State(found["connector"]["state"], tuple(each["state"] for each in found["tasks"]), trace)

    def offset(self) -> dict[str, Any]:
        """Return where the connector is in its source, in Debezium's words; empty before it has stored anything.

        Raises:
            CdcError: CONNECTOR, it has offsets of several sources.
        """
        found = self._ask("GET", "/offsets", missing=True) or {"offsets": []}
        offsets = [each["offset"] for each in found["offsets"] if each["offset"] is not None]
        if len(offsets) > 1:
            raise CdcError(Kind.CONNECTOR, f"the connector {self.name} has offsets of {len(offsets)} sources")
        return dict(offsets[0]) if offsets else {}

    def stop(self) -> None:
        """Ask the connector to stop in order: what it has read is flushed, its offset stored, its tasks end."""
        self._ask("PUT", "/stop")

    def resume(self) -> None:
        """Ask a stopped or paused connector to run."""
        self._ask("PUT", "/resume")

    def restart(self) -> None:
        """Start a connector that has failed, and its tasks, anew."""
        self._ask("POST", "/restart?includeTasks=true&onlyFailed=true")

    def forget(self) -> None:
        """Delete the stored offsets of the stopped connector, then the connector.

        In this order: offsets that outlive their connector would be taken up by the next of the same name.
        """
        self._ask("DELETE", "/offsets")
        self._ask("DELETE", "", missing=True)

    def wait_until_running(self) -> State:
        """Wait until the connector and its task run.

        Raises:
            CdcError: CONNECTOR, with the task's trace: it failed, or does not come up.
        """
        return self._wait(lambda state: state.runs, "does not run", hopeless=lambda state: state.failed)

    def wait_until_stopped(self) -> State:
        """Wait until the connector is stopped and no task is left; one that has failed stops like any other.

        Raises:
            CdcError: CONNECTOR, it is not in time.
        """
        return self._wait(lambda state: state.stopped, "does not stop", hopeless=lambda _state: False)

    def _wait(self, enough: Callable[[State], bool], problem: str, hopeless: Callable[[State], bool]) -> State:
        state: State | None = None

        def ask() -> bool:
            nonlocal state
            state = self.state()
            return state is not None and (enough(state) or hopeless(state))

        with suppress(RetryError):
            self._patiently(ask)
        if state is not None and enough(state):
            return state
        if state is None:
            raise CdcError(Kind.CONNECTOR, f"no worker has taken the connector {self.name}")
        tasks = ", ".join(state.tasks) or "none"
        why = f"\n{state.trace[:_TRACE]}" if state.trace else ""
        message = f"the connector {self.name} {problem}: connector {state.connector}, tasks {tasks}{why}"
        raise CdcError(Kind.CONNECTOR, message)

    def _patiently(self, ask: Callable[[], bool]) -> None:
        settings = self._settings
        Retrying(
            retry=retry_if_result(lambda done: not done),
            stop=stop_after_attempt(settings.connect_tries),
            wait=wait_fixed(settings.connect_pause_seconds),
        )(ask)

    def _ask(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> Any:
        """Return the answer's document, None for an empty one or, where `missing` is allowed, for what is not there."""
        answer: httpx.Response | None = None

        def ask() -> bool:
            nonlocal answer
            try:
                answer = self._client.request(method, self._path + path, json=body)
            except httpx.TransportError as error:
                url, why = self._settings.connect_url, type(error).__name__
                raise CdcError(Kind.CONNECT, f"Kafka Connect at {url} does not answer ({why})") from error
            return answer.status_code not in _NOT_NOW

        with suppress(RetryError):
            self._patiently(ask)
        assert answer is not None
        if missing and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            said = _message(answer)
            raise CdcError(Kind.CONNECTOR, f"Kafka Connect refuses {method} {self._path}{path}: {said}")
        return answer.json() if answer.content else None


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:_TRACE]
    except (json.JSONDecodeError, KeyError, TypeError):
        return f"status {answer.status_code}"
