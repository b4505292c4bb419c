"""The shapes whose columns have the types of `forms`, by families; each under the usual identity and under FULL."""

from typing import Any

from tests.integration.cdc.conformance.shapes import Shape, identity, shape
from tests.integration.cdc.forms import FORMS, MADE

_FAMILIES = {
    "integers": ("bool", "int2", "int4", "int8", "oid"),
    "floats": ("float4", "float8"),
    "numerics": ("numeric", "numeric(30,10)", "money"),
    "characters": ("text", "varchar(9)", "char(5)", '"char"', "name", "uuid"),
    "instants": ("timestamptz",),
    "timestamps": ("timestamp",),
    "dates": ("date",),
    "times": ("time", "timetz", "interval"),
    "documents": ("json", "jsonb", "tsvector", "tsquery", "xml"),
    "bytes": ("bytea", "bit", "bit(10)", "varbit"),
    "addresses": ("inet", "cidr", "macaddr", "macaddr8"),
    "geometry": ("point", "line", "lseg", "box", "path", "polygon", "circle"),
    "ranges": ("int4range", "numrange", "tstzrange", "daterange", "int4multirange", "spread"),
    "system": ("regclass", "xid", "xid8", "oidvector", "int2vector", "pg_lsn"),
    "number_arrays": ("bool[]", "int4[]", "int8[]", "float8[]", "numeric[]", "money[]"),
    "text_arrays": ("text[]", "uuid[]", "jsonb[]"),
    "time_arrays": ("timestamptz[]", "timestamp[]", "date[]", "time[]", "timetz[]", "interval[]"),
    "byte_arrays": ("bytea[]", "bit(2)[]", "bit[]", "varbit[]"),
    "other_arrays": ("inet[]", "point[]", "box[]", "int4range[]", "tsvector[]", "pg_lsn[]"),
    "enums": ("mood", "mood[]", '"Odd . Type"'),
    "domains": ("price", "dear", "price[]", "moment", "flag", "counts"),
    "composites": ("pair", "pair[]"),
}  # fmt: skip

_EXTREMES = {
    "dates": ("date", "5874897-12-31", "4713-01-01 BC", "0001-01-01", "1582-10-10", "1969-12-31"),
    "timestamps": ("timestamp", "294276-12-31 23:59:59.999999", "4713-01-01 BC", "0001-01-01", "1582-10-10 10:00"),
    "instants": ("timestamptz", "294276-12-31 23:59:59.999999Z", "0044-03-15 00:00Z BC", "1582-10-10 00:00Z"),
    "intervals": ("interval", "178000000 years", "-178000000 years", "0", "1000000 hours", "0.000001 s", "-0.5 s"),
    "numerics": ("numeric", "1e200", "1e-200", "-0.000", "99999999999999999999.99999999999999999999"),
    "float4s": ("float4", "1e-45", "3.4e38", "-0", "16777217", "0.1"),
    "float8s": ("float8", "5e-324", "1.7976931348623157e308", "-0", "1e15", "123456789.123", "1e7", "0.001"),
    "times": ("time", "23:59:59.999999", "00:00", "12:00:00.000001"),
    "timetzs": ("timetz", "24:00+00", "00:00+15:59", "12:00:00.5-15:59"),
    "moneys": ("money", "-92233720368547758.08", "0", "92233720368547758.07"),
    "bits": ("varbit", "", "00000000", "1", "11111111111111111"),
    "documents": ("jsonb", "1e400", '"\\u0041"', "[]", "null", '{"b": 1, "a": {"b": [1, 2.50]}}'),
    "int_arrays": ("int4[]", "{}", "{NULL}", "{{{1}}}", "{-2147483648,2147483647}"),
    "text_arrays": ("text[]", "{}", '{""}', '{"NULL",NULL}', '{"{","}",",","\\"","\\\\"}', "[2:3]={a,b}"),
    "instant_arrays": ("timestamptz[]", "{-infinity,NULL}", "{}", "{2026-01-02 03:04:05.5Z}"),
    "timestamp_arrays": ("timestamp[]", "{infinity,-infinity}", "{0044-03-15 BC}"),
    "date_arrays": ("date[]", "{infinity,-infinity}", "{5874897-12-31}"),
    "time_arrays": ("time[]", "{24:00,00:00}", "{}"),
    "ranges": ("tsrange", "[2026-01-01,infinity)", "(,)", "empty"),
    "addresses": ("inet", "::ffff:10.0.0.1", "10.1.2.3/8", "2001:db8::/32"),
}  # fmt: skip
"""Values at the ends of what a type can hold, by family: the type, then its texts."""

MAKING = (*MADE, "CREATE DOMAIN prose AS text", "CREATE TYPE mood_of_change AS ENUM ('old')")
"""The types that the shapes use."""


FORMS_OF = {f"types_{name}": [form for form in FORMS if form[0] in types] for name, types in _FAMILIES.items()}
"""The forms in the columns `c0`, `c1`, … of each family's table."""
FILLED_ROWS = (1, 3)
"""The ids of the rows that hold them; all else is null in the others."""


def _family(name: str, forms: list[tuple[str, str, Any]], *, full: bool) -> Shape:
    columns = ", ".join(f"c{number} {form[0]}" for number, form in enumerate(forms))
    values = ", ".join(f"CAST({form[1]} AS {form[0]})" for form in forms)
    nulls = ", ".join(["NULL"] * len(forms))
    return shape(
        f"{name}_full" if full else name,
        f"id int PRIMARY KEY, {columns}",
        (f"(1, {values}), (2, {nulls})",),
        (f"(3, {values})", f"(4, {nulls})", "UPDATE {t} SET id = id", "DELETE FROM {t} WHERE id > 2"),
        after=[identity("FULL")] if full else [],
    )


def _extreme(name: str, kind: str, *texts: str) -> Shape:
    rows = [f"({number}, '{text}')" for number, text in enumerate(texts)]
    moved = [f"({number + 100}, '{text}')" for number, text in enumerate(texts)]
    return shape(
        f"extreme_{name}", f"id int PRIMARY KEY, c {kind}", (", ".join(rows),), (", ".join(moved), "DELETE FROM {t}")
    )


SHAPES = (
    *(_family(name, forms, full=full) for name, forms in FORMS_OF.items() for full in (False, True)),
    *(_extreme(name, *values) for name, values in _EXTREMES.items()),
)
