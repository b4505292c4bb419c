"""Owns one exchange with a service of Confluent's: authentication, patience with «later», errors without secrets."""

import time
from typing import Any, Final

import httpx

from flink_jobs.lifecycle.deployment import TargetError

_TRIES: Final = 5
_LONGEST_PAUSE: Final = 10.0
_LATER: Final = frozenset({429, 503})


class ConfluentError(TargetError):
    """Say what Confluent Cloud refuses, or that it does not answer."""


class Service:
    """Talk to one service; close it after use.

    Args:
        name: What it is called in errors.
        url: Its base URL.
        key: The API key.
        secret: Its secret.
        headers: What goes along with every request.
    """

    def __init__(self, name: str, url: str, key: str, secret: str, headers: dict[str, str] | None = None) -> None:
        self._name = name
        self._client = httpx.Client(base_url=url, auth=(key, secret), headers=headers, timeout=30)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def call(self, method: str, path: str, *, absent: frozenset[int] = frozenset(), **options: Any) -> Any:
        """Return the answer as JSON; None for an answer without a body, or with a status that is expected.

        Args:
            method: The method.
            path: Below the base URL.
            absent: Statuses that mean «there is none».
            **options: As httpx takes them.

        Raises:
            ConfluentError: It refuses, or does not answer.
        """
        for attempt in range(_TRIES):
            try:
                answer = self._client.request(method, path, **options)
            except httpx.HTTPError as error:
                # The text of the error may hold the address, which holds no secret here; the kind says enough.
                raise ConfluentError(f"no answer from {self._name} ({type(error).__name__})") from error
            if answer.status_code not in _LATER or attempt == _TRIES - 1:
                break
            time.sleep(min(_LONGEST_PAUSE, _seconds(answer, attempt)))
        if answer.status_code in absent:
            return None
        if answer.is_error:
            what = path.partition("?")[0]
            raise ConfluentError(f"{self._name} refuses {method} {what} (status {answer.status_code}): {_said(answer)}")
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise ConfluentError(f"{self._name} answers {method} with no JSON; is its URL right?") from error


def _seconds(answer: httpx.Response, attempt: int) -> float:
    try:
        return float(answer.headers["retry-after"])
    except (KeyError, ValueError):
        return 0.5 * 2.0**attempt


def _said(answer: httpx.Response) -> str:
    """Return the service's reason: a list of errors, or a message."""
    try:
        body = answer.json()
        if errors := body.get("errors"):
            return "; ".join(str(each.get("detail") or each.get("title") or each) for each in errors)
        return str(body.get("message") or body)[:500]
    except (ValueError, AttributeError):
        return answer.text[:500] or answer.reason_phrase
