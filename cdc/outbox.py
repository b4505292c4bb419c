"""Owns what becomes of logical messages (`pg_logical_emit_message`): which topic by their prefix, which key and value.

A content with the fields of Debezium's outbox event router (its documentation, "Outbox Event Router", the columns `id`,
`aggregatetype`, `aggregateid`, `type`, `payload`) is an outbox event: keyed by its aggregate, its payload the value.
Any other content is the value as it is, byte for byte, under its prefix as key: the messages of a prefix keep their
order. The format of table records has no part in it. The prefix `headwater`, and all below it, is the engine's own.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from cdc.pgoutput.messages import LogicalMessage
from cdc.records import TopicName

RESERVED_PREFIX: Final = "headwater"
ID, TYPE, AGGREGATE_TYPE = "id", "type", "aggregatetype"
_KEY, _PAYLOAD = "aggregateid", "payload"
_NEEDED: Final = frozenset({ID, AGGREGATE_TYPE, _KEY, _PAYLOAD})
_NULL: Final = "null"
_HEADERS: Final = (ID, TYPE, AGGREGATE_TYPE)
_ROUTE: Final = re.compile(r"\s*([^,=]*[^,=\s])\s*=\s*([A-Za-z0-9._-]{1,249})\s*(?:,|$)")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Routed:
    """Key, value (None is a tombstone) and headers of a message's record."""

    topic: TopicName
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Outbox:
    """The routes of messages by prefix; without any, messages give nothing."""

    topics: Mapping[str, TopicName] = field(default_factory=dict)

    def route(self, message: LogicalMessage) -> Routed | None:
        """Return what a message becomes; None when nobody asked for its prefix."""
        topic = self.topics.get(message.prefix)
        if topic is None:
            return None
        fields = _members(message.content)
        if fields is not None and fields.keys() >= _NEEDED and fields[_KEY] != _NULL:
            # A text that UTF-8 cannot say (half a surrogate pair) would have to be altered: it goes as it is, below.
            with suppress(UnicodeEncodeError):
                named = ((name, fields.get(name, _NULL)) for name in _HEADERS)
                headers = tuple((name, _text(value)) for name, value in named if value != _NULL)
                payload = fields[_PAYLOAD]
                return Routed(topic, _text(fields[_KEY]), None if payload == _NULL else _text(payload), headers)
        return Routed(topic, message.prefix.encode(), message.content)


def parse_messages(text: str) -> dict[str, TopicName]:
    """Return the routes of a list such as `outbox=outbox-events, audit=audit`.

    Raises:
        ValueError: The text is no such list, a prefix is there twice, or it is the engine's own.
    """
    routes: dict[str, TopicName] = {}
    at = 0
    while at < len(text):
        match = _ROUTE.match(text, at)
        if match is None:
            raise ValueError(f"expected prefix=topic, separated by commas, at {text[at:]!r}")
        prefix, topic = match[1], TopicName(match[2])
        if prefix == RESERVED_PREFIX or prefix.startswith(f"{RESERVED_PREFIX}."):
            raise ValueError(f"the prefix {prefix!r} is the engine's own")
        if prefix in routes:
            raise ValueError(f"the prefix {prefix!r} is listed twice")
        routes[prefix] = topic
        at = match.end()
    return routes


def _members(content: bytes) -> dict[str, str] | None:
    """Return the members of a JSON object, each value as it is written; None when the bytes are no JSON object.

    Written, not parsed and written again: a payload keeps its digits, its spaces and the order of its fields.
    """
    try:
        text = content.decode()
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict):
        return None
    members: dict[str, str] = {}
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        # A colon stands between name and value, a comma or the brace behind: the whole was parsed above.
        start = _skip(text, _skip(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        members[name] = text[start:at]
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return members


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()


def _text(written: str) -> bytes:
    """Return what a JSON string says, and any other value as it is written."""
    return str(json.loads(written)).encode() if written.startswith('"') else written.encode()
