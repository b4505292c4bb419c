"""Owns the client of the producer API."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from stack.errors import StackError

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what the API said: the HTTP status and the JSON body."""

    status: int
    body: Any

    @property
    def accepted(self) -> bool:
        """Tell whether every event was stored."""
        return self.status == httpx.codes.OK and self.body.get("success") is True


def post(base_url: str, text: str) -> Answer:
    """Post one event, or an array of events as one bulk request.

    A text that is no JSON is posted as it is: what is wrong with it is the API's to say.

    Raises:
        StackError: The API cannot be reached.
    """
    try:
        bulk = isinstance(json.loads(text), list)
    except ValueError:
        bulk = False
    try:
        response = httpx.post(
            f"{base_url}/api/v1/events{'/bulk' if bulk else ''}",
            content=text.encode(),
            headers={"Content-Type": "application/json"},
            timeout=_SECONDS,
        )
        return Answer(response.status_code, response.json())
    except (httpx.HTTPError, ValueError) as error:
        raise StackError(
            f"The producer API at {base_url} does not answer ({type(error).__name__}).",
            "Start it with `headwater up -d`, or look at `headwater status`.",
        ) from error
