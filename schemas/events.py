"""Make events: from a template with given values, and of a given size.

Owns the filling of `{{placeholder}}` texts (EV-125) and the growing of an event to a byte count (EV-122, EV-123).
Every event made here is valid by the JSON Schemas of version 1; nothing here sends one anywhere.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from schemas.loader import Json, template

# The named sizes of EV-122 in bytes of the whole event as compact JSON; `default` is another measure, see below.
SIZES: Final = {"4k": 4_096, "8k": 8_192, "32k": 32_768, "64k": 65_536, "200k": 204_800, "500k": 512_000}

# The five required header fields and the required car fields alone pass 500 bytes, so the default size of 400 to 500
# bytes is that of the entity, without the event header around it.
DEFAULT_ENTITY_BYTES: Final = 450

_SENTENCE: Final = "The car was inspected, cleaned, measured, driven and handed back to its owner without a remark. "


def render(event_type: str, *, uuid: str | None = None, timestamp: str | None = None, **fields: Any) -> Json:
    """Return one event of the given type from its template.

    Args:
        event_type: One of `EVENT_TYPES`.
        uuid: The event id; a new one when left out.
        timestamp: Every date of the two headers, ISO 8601; now when left out.
        fields: Placeholders of the template (`entityId`, `vin`, `amount`, ...); the rest keep the template's defaults.

    Raises:
        LookupError: Unknown event type, or a field the template has no placeholder for.
    """
    source = template(event_type)
    values = {
        "entityId": str(uuid4()),
        "uuid": uuid or str(uuid4()),
        "timestamp": timestamp or datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **source["defaults"],
    }
    if unknown := sorted(fields.keys() - values.keys()):
        message = f"the {event_type} template has no field {', '.join(unknown)}; it has: {', '.join(sorted(values))}"
        raise LookupError(message)
    filled: Json = _fill(source["event"], {**values, **fields})
    return filled


def sized_event(event_type: str, size: int | str = "default", **fields: Any) -> Json:
    """Return one event of the given type and size.

    Args:
        event_type: One of `EVENT_TYPES`.
        size: `default` (an entity of 450 bytes), a name from `SIZES`, or a byte count of the whole event. Bytes are
            those of compact JSON in UTF-8, and are met exactly.
        fields: As for `render`.

    Raises:
        LookupError: Unknown event type, size name or field.
        ValueError: Fewer bytes than the required fields of this type take.
    """
    event = render(event_type, **fields)
    if size == "default":
        frame = compact_size(event) - compact_size(event["entities"][0])
        target = frame + DEFAULT_ENTITY_BYTES
    elif isinstance(size, int):
        target = size
    elif size in SIZES:
        target = SIZES[size]
    else:
        message = f"no size {size!r}; there are: default, {', '.join(SIZES)}, or a byte count"
        raise LookupError(message)
    return _grow(event, target)


def compact_size(document: Any) -> int:
    """Return the bytes of a document as compact JSON in UTF-8, the form in which sizes are measured."""
    return len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())


def _fill(node: Any, values: Json) -> Any:
    """Replace each text that is one whole placeholder by its value, which may be of any type."""
    match node:
        case dict():
            return {key: _fill(value, values) for key, value in node.items()}
        case list():
            return [_fill(value, values) for value in node]
        case str() if node.startswith("{{") and node.endswith("}}"):
            return deepcopy(values[node[2:-2]])
        case _:
            return node


def _grow(event: Json, target: int) -> Json:
    """Grow the event to exactly `target` bytes: first nested objects, then entries of a list, then a padding text."""
    entity = event["entities"][0]
    # `,"padding":""` is the least that can be added; every step leaves that much room for the last one.
    least = len(',"padding":""')
    room = target - compact_size(event)
    if room == 0:
        return event
    if room < least:
        needed = target - room
        message = f"this event takes {needed} bytes, or {needed + least} and more; {target} cannot be met"
        raise ValueError(message)
    nested, list_name, entry = _GROWTH[entity["entityHeader"]["entityType"]]
    for name, value in nested(entity).items():
        cost = (
            len(f',"{name}":')
            + compact_size(value)
            - (compact_size(entity[name]) + len(f',"{name}":') if name in entity else 0)
        )
        if room - cost >= least:
            entity[name] = value
            room -= cost
    # A quarter of what is left stays for the padding text, so that neither part is the whole of a large event.
    budget = room - least - room // 4
    entries: list[Json] = []
    spent = len(f',"{list_name}":[]')
    while spent + (cost := compact_size(made := entry(entity, len(entries))) + 1) <= budget:
        entries.append(made)
        spent += cost
    if entries:
        entity[list_name] = entries
    entity["padding"] = _prose(target - compact_size(event) - least)
    return event


def _prose(length: int) -> str:
    """Return ASCII words of exactly `length` bytes."""
    return (_SENTENCE * (length // len(_SENTENCE) + 1))[:length]


def _car(entity: Json) -> Json:
    return {
        "owner": {
            "id": f"{entity['id']}-owner",
            "firstName": "Ada",
            "lastName": "Novak",
            "email": "ada.novak@example.com",
            "phone": "+1-555-0100",
            "address": {
                "street": "4 River Road",
                "city": "Dayton",
                "state": "OH",
                "zipCode": "45402",
                "country": "US",
            },
        },
        "insurance": {
            "provider": "Lakeside Mutual",
            "policyNumber": "LM-204-551",
            "expiryDate": "2027-01-14",
            "coverageType": "comprehensive",
            "premiumAmount": 1184.40,
            "deductible": 500,
        },
        "maintenance": {
            "lastServiceDate": "2026-01-02",
            "nextServiceDue": "2026-07-02",
            "mileage": entity["mileage"],
            "oilChangeInterval": 10000,
            "tireRotationInterval": 12000,
            "warrantyCoverage": "powertrain",
            "warrantyExpiryDate": "2030-01-14",
        },
        "features": ["heated seats", "lane assist", "rear camera", "cruise control"],
    }


def _history(entity: Json, number: int) -> Json:
    return {
        "id": f"{entity['id']}-history-{number}",
        "serviceDate": f"20{10 + number % 16}-{1 + number % 12:02}-{1 + number % 28:02}",
        "amountPaid": 60 + number % 400 + 0.25,
        "dealerId": f"DEALER-{1 + number % 3:03}",
        "mileageAtService": number * 480,
        "description": _SENTENCE[number % 37 : 40 + number % 53],
    }


def _institution(entity: Json) -> Json:
    return {
        "financialInstitution": {
            "id": f"{entity['id']}-bank",
            "name": "Meridian Bank",
            "address": {"street": "1 Market Square", "city": "Columbus", "state": "OH", "zipCode": "43004"},
        },
        "terms": {"compounding": "monthly", "earlyPayoffFee": 0, "lateFee": 25, "graceDays": 10, "governingLaw": "OH"},
        "description": "Fixed rate, paid monthly.",
    }


def _payment(entity: Json, number: int) -> Json:
    return {
        "id": f"{entity['id']}-payment-{number}",
        "paymentDate": f"20{10 + number % 16}-{1 + number % 12:02}-15",
        "amount": 200 + number % 300 + 0.50,
        "method": ("transfer", "card", "cheque")[number % 3],
        "principal": 150 + number % 300,
        "interest": 50.50,
    }


def _dealer(entity: Json) -> Json:
    return {
        "dealer": {
            "id": entity["dealerId"],
            "name": entity["dealerName"],
            "phone": "+1-555-0177",
            "address": {"street": "88 Canal Street", "city": "Toledo", "state": "OH", "zipCode": "43604"},
        },
        "technician": {"id": "TECH-07", "name": "Sam Rivera", "certifications": ["brakes", "engine", "hybrid"]},
    }


def _part(entity: Json, number: int) -> Json:
    return {
        "id": f"{entity['id']}-part-{number}",
        "partNumber": f"PN-{1000 + number * 7}",
        "partName": ("oil filter", "brake pad", "wiper blade", "spark plug", "air filter")[number % 5],
        "quantity": 1 + number % 4,
        "cost": 8 + number % 90 + 0.75,
    }


# How an entity of each type grows: its nested objects, the name of its list, and one entry of that list.
_GROWTH: Final[dict[str, tuple[Callable[[Json], Json], str, Callable[[Json, int], Json]]]] = {
    "Car": (_car, "serviceHistory", _history),
    "Loan": (_institution, "paymentHistory", _payment),
    "LoanPayment": (_institution, "paymentHistory", _payment),
    "ServiceRecord": (_dealer, "parts", _part),
}
