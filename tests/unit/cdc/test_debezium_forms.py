"""The forms are Debezium's: held against what Debezium 3.7.0 gave for the same rows.

`debezium_3_7_0.json` holds type, PostgreSQL's text and the value in the topic, recorded from a real connector on
Kafka Connect with the settings that `cdc.values` names, against PostgreSQL 15; `<absent>` is a column it left out.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from psycopg.postgres import types as builtins

from cdc.types import Types

RECORDED: list[tuple[str, str, Any]] = [
    tuple(each) for each in json.loads(Path(__file__).with_name("debezium_3_7_0.json").read_text(encoding="utf-8"))
]
STRUCTURES = {"point", "line", "lseg", "box", "path", "polygon", "circle"}
# Where Debezium loses or alters the value, ours is the row's.
LOST = {
    ("name", "n"): "n",
    ("time", "24:00:00"): "24:00:00Z",
    ("oidvector", "1 2"): "1 2",
    ("int4[]", "{{1,2},{3,4}}"): [[1, 2], [3, 4]],
    ("numeric[]", "{NaN}"): ["NAN"],
    ("bit(2)[]", "{11}"): ["Aw=="],
    ("box[]", "{(3,4),(1,2)}"): ["(3,4),(1,2)"],
}


def ours(type_name: str, text: str) -> Any:
    """Return our value of a text, by the type as SQL writes it."""
    found = re.fullmatch(r'"?(\w+)"?(?:\((\d+)(?:,\d+)?\))?(\[\])?', type_name)
    assert found is not None
    name = {"char": '"char"' if type_name.startswith('"') else "bpchar"}.get(found[1], found[1])
    modifier = int(found[2] or (1 if name == "bit" else -1))
    info = builtins[name]
    convert = Types().converter(info.array_oid if found[3] else info.oid, modifier)
    return text if convert is None else convert(text)


def unpadded(value: Any) -> Any:
    """Cut the zeros to which Debezium fills the fraction of an instant with time zone."""
    if isinstance(value, list):
        return [unpadded(each) for each in value]
    return re.sub(r"(\.\d*?)0+Z$", r"\1Z", value).replace(".Z", "Z") if isinstance(value, str) else value


@pytest.mark.parametrize(("type_name", "text", "theirs"), RECORDED, ids=lambda value: str(value)[:30])
def test_the_form_is_debeziums(type_name: str, text: str, theirs: Any) -> None:
    """Equal, but for the padding of fractions, and but for what Debezium leaves out, loses or makes a structure of."""
    value = ours(type_name, text)
    if (type_name, text) in LOST:
        assert value == LOST[type_name, text] != theirs
    elif theirs == "<absent>":
        assert value not in (None, "", [])
    elif type_name in STRUCTURES:
        assert value == text
    else:
        assert value == (unpadded(theirs) if "timestamptz" in type_name else theirs)
        assert type(value) is type(theirs)


def test_the_recording_is_whole() -> None:
    """More than a hundred values, each exception among them."""
    assert len(RECORDED) > 100
    assert LOST.keys() <= {(type_name, text) for type_name, text, _ in RECORDED}
