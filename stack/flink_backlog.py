"""Owns what the measurement of the Flink job reads and filters: raw records, two sets of filters, and who takes what.

Which topics a record belongs to is said here by construction, not by evaluating a filter, so that a wrong job cannot
agree with it by the same mistake. Must never know Kafka or Flink. Facts: CD-41, CD-47, EV-92.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import schemas
from flink_jobs import FilterSet, load_filters, parse_filters

Json = dict[str, Any]

SHIPPED_TYPES: Final = ("CarCreated", "LoanCreated", "LoanPaymentSubmitted", "CarServiceDone")
CYCLE: Final = 40
"""Records repeat their shape after so many."""

_EVERY_OTHER_TYPE: Final = 20
_UPDATE_AT: Final = 33
_DEALERS: Final = 10
_ID: Final = "@id@"
"""Stands for the id in the text of a shape."""
_NAMES: Final = {
    "CarCreated": "Car Created",
    "LoanCreated": "Loan Created",
    "LoanPaymentSubmitted": "Loan Payment Submitted",
    "CarServiceDone": "Car Service Done",
    "TestDriveBooked": "Test Drive Booked",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Say what a filter can tell one record by."""

    event_type: str
    operation: str
    dealer: str


@dataclass(frozen=True, slots=True)
class Route:
    """Name a filter's topic, without its suffix, and which shapes belong there."""

    topic: str
    takes: Callable[[Shape], bool]

    @property
    def used(self) -> bool:
        """Tell whether any record belongs there."""
        return any(self.takes(shape(place)) for place in range(CYCLE))


def shape(number: int) -> Shape:
    """Return the shape of a record: the shipped types in turn; three in forty are of another type or an update."""
    place = number % CYCLE
    other = place % _EVERY_OTHER_TYPE == _EVERY_OTHER_TYPE - 1
    return Shape(
        "TestDriveBooked" if other else SHIPPED_TYPES[place % len(SHIPPED_TYPES)],
        "u" if place == _UPDATE_AT else "c",
        f"DEALER-{place // len(SHIPPED_TYPES) % _DEALERS:03}",
    )


def event_id(number: int) -> str:
    """Return the id of a record, from which `number_of` reads its number."""
    return f"{number:08x}-5c1d-4e7a-9b3f-{number * 2654435761 % 2**48:012x}"


def number_of(key: bytes) -> int:
    """Return the number of a record from its key, be it the id or the raw topic's JSON object."""
    return int(key.removeprefix(b'{"id":"')[:8], 16)


def records(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values as the CDC engine writes them, about 500 bytes each."""
    texts = [_value(shape(place)).split(_ID) for place in range(CYCLE)]
    for number in range(count):
        identity = event_id(number)
        yield f'{{"id":"{identity}"}}'.encode(), identity.join(texts[number % CYCLE]).encode()


def _value(one: Shape) -> str:
    created, saved = "2026-01-15T10:30:00.123456Z", "2026-01-15T10:30:00.234567Z"
    document = {
        "uuid": _ID,
        "eventName": _NAMES[one.event_type],
        "eventType": one.event_type,
        "createdDate": created,
        "savedDate": saved,
        **({"dealerId": one.dealer} if one.event_type == "CarServiceDone" else {}),
    }
    fields = {
        "id": _ID,
        "event_name": _NAMES[one.event_type],
        "event_type": one.event_type,
        "created_date": created,
        "saved_date": saved,
        "header_data": json.dumps(document),
        "__op": one.operation,
        "__table": "event_headers",
        "__ts_ms": 1768473000345,
    }
    return json.dumps(fields, separators=(",", ":"))


def _is(event_type: str) -> Callable[[Shape], bool]:
    return lambda one: (one.event_type, one.operation) == (event_type, "c")


def _never(_one: Shape) -> bool:
    return False


def four_filters() -> tuple[FilterSet, tuple[Route, ...]]:
    """Return the shipped filters and what each takes."""
    filters = load_filters(schemas.filters_path())
    types = {str(each.conditions[0].value): each.output_topic for each in filters.filters}
    return filters, tuple(Route(types[name], _is(name)) for name in SHIPPED_TYPES)


def hundred_filters() -> tuple[FilterSet, tuple[Route, ...]]:
    """Return a hundred filters that route about as many records as the shipped four do.

    Ten share one type and tell its records by a path into the header; each of the other three types has one for all
    and one that looks closer, by a pattern, a path or a range, and takes nothing. Of the remaining 84, 82 ask for types
    and names that do not occur, and two look at every record, by a pattern and by a range.
    """
    made = [*_dealer_filters(), *_shared_types(), *_absent()]
    document = {"version": 1, "filters": [each for each, _takes in made]}
    return parse_filters(document), tuple(Route(each["outputTopic"], takes) for each, takes in made)


_Made = tuple[Json, Callable[[Shape], bool]]


def _filter(name: str, *conditions: Json) -> Json:
    topic = f"filtered-{name}"
    return {"id": name, "name": name, "consumerId": name, "outputTopic": topic, "conditions": list(conditions)}


def _asks(field: str, operator: str, value_type: str = "string", **values: object) -> Json:
    return {"field": field, "operator": operator, "valueType": value_type, **values}


def _of_type(name: str) -> Json:
    return _asks("event_type", "equals", value=name)


_INSERTED: Final = _asks("__op", "in", values=["c", "r"])


def _dealer_filters() -> Iterator[_Made]:
    for number in range(_DEALERS):
        dealer = f"DEALER-{number:03}"

        def takes(one: Shape, dealer: str = dealer) -> bool:
            return _is("CarServiceDone")(one) and one.dealer == dealer

        asks = _asks("header_data.dealerId", "equals", value=dealer)
        yield _filter(f"service-{dealer.lower()}", _of_type("CarServiceDone"), asks, _INSERTED), takes


def _shared_types() -> Iterator[_Made]:
    narrow = {
        "CarCreated": _asks("event_name", "matches", value="Car Created (abroad|again).*"),
        "LoanCreated": _asks("header_data.loanAmount", "greaterThan", "number", value=50000),
        "LoanPaymentSubmitted": _asks("__ts_ms", "lessThan", "timestamp", value="2020-01-01T00:00:00Z"),
    }
    for name, asks in narrow.items():
        yield _filter(name.lower(), _of_type(name), _INSERTED), _is(name)
        yield _filter(f"{name.lower()}-narrow", _of_type(name), asks, _INSERTED), _never


def _absent() -> Iterator[_Made]:
    for number in range(64):
        yield _filter(f"type-{number}", _of_type(f"PartOrdered{number:02}"), _INSERTED), _never
    for number in range(10):
        both = _asks("event_type", "in", values=[f"CarSold{number}", f"CarScrapped{number}"])
        matches = _asks("event_name", "matches", value="Car (Sold|Scrapped).*")
        yield _filter(f"either-{number}", both, matches), _never
    for number in range(8):
        yield _filter(f"name-{number}", _asks("event_name", "equals", value=f"Stock Count {number}")), _never
    yield _filter("recalls", _asks("event_name", "matches", value="Recall .*")), _never
    yield _filter("late", _asks("__ts_ms", "greaterThan", "number", value=4102444800000)), _never


def expected(routes: Sequence[Route], place: int) -> list[int]:
    """Return which routes, by their places, a record with this place in the cycle takes."""
    return [index for index, route in enumerate(routes) if route.takes(shape(place))]
