"""What a change of a JSON Schema breaks: every rule of the contract, and properties that hold of any two schemas."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import schemas
from schemas.compatibility import Comparison, compare
from schemas.references import SchemaError, root, root_of_file

Json = dict[str, Any]


def between(old: Any, new: Any) -> Comparison:
    """Compare two schemas without other documents."""
    return compare(root(old), root(new))


def thing(*required: str, more: Any = True, **properties: Any) -> Json:
    """Return the schema of an object."""
    extra = {} if more is True else {"additionalProperties": more}
    return {"type": "object", "properties": properties, "required": list(required), **extra}


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}

RULES: list[tuple[Any, Any, str, str, bool]] = [
    (thing("a", a=TEXT), thing(), "/properties/a", "required-removed", True),
    (thing(), thing("a", a=TEXT), "/properties/a", "required-added", True),
    (thing(a=TEXT), thing("a", a=TEXT), "/properties/a", "required-added", True),
    (thing("a", a=TEXT), thing(a=TEXT), "/properties/a", "required-relaxed", False),
    (thing(), thing(a=TEXT), "/properties/a", "property-added", False),
    (thing(a=TEXT), thing(), "/properties/a", "property-removed", False),
    (thing(a=TEXT, more=False), thing(more=False), "/properties/a", "property-removed", True),
    (thing(a=TEXT), thing(a=WHOLE), "/properties/a/type", "type-changed", True),
    (thing(a=TEXT), thing(a={"type": ["string", "null"]}), "/properties/a/type", "type-changed", True),
    (thing(), thing(more=False), "/additionalProperties", "additionalProperties-closed", True),
    (thing(more=False), thing(), "/additionalProperties", "additionalProperties-opened", False),
    (thing(more=TEXT), thing(more={}), "/additionalProperties", "additionalProperties-opened", False),
    (thing(more=TEXT), thing(more=WHOLE), "/additionalProperties/type", "type-changed", True),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, "/enum", "enum-value-removed", True),
    ({"enum": ["a"]}, {"enum": ["b", "a"]}, "/enum", "enum-value-added", False),
    ({}, {"enum": ["a"]}, "/enum", "enum-added", True),
    ({"enum": ["a"]}, {}, "/enum", "enum-removed", False),
    ({"const": 1}, {"const": True}, "/const", "const-changed", True),
    ({"minimum": 1}, {"minimum": 2}, "/minimum", "minimum-raised", True),
    ({"minimum": 2}, {"minimum": 1}, "/minimum", "minimum-lowered", False),
    ({}, {"minimum": 0}, "/minimum", "minimum-added", True),
    ({"minimum": 0}, {}, "/minimum", "minimum-removed", False),
    ({"maximum": 2}, {"maximum": 1}, "/maximum", "maximum-lowered", True),
    ({"maximum": 1}, {"maximum": 2}, "/maximum", "maximum-raised", False),
    ({}, {"maximum": 1}, "/maximum", "maximum-added", True),
    ({}, {"exclusiveMaximum": 1}, "/exclusiveMaximum", "exclusiveMaximum-added", True),
    ({"minLength": 1}, {"minLength": 2}, "/minLength", "minLength-raised", True),
    ({"maxItems": 3}, {"maxItems": 2}, "/maxItems", "maxItems-lowered", True),
    ({}, {"pattern": "a"}, "/pattern", "pattern-added", True),
    ({"pattern": "a"}, {"pattern": "b"}, "/pattern", "pattern-changed", True),
    ({"pattern": "a"}, {}, "/pattern", "pattern-removed", False),
    ({"multipleOf": 0.1}, {"multipleOf": 0.05}, "/multipleOf", "multipleOf-changed", False),
    ({"multipleOf": 0.05}, {"multipleOf": 0.1}, "/multipleOf", "multipleOf-changed", True),
    ({}, {"uniqueItems": True}, "/uniqueItems", "uniqueItems-added", True),
    ({"items": TEXT}, {"items": WHOLE}, "/items/type", "type-changed", True),
    ({}, {"items": TEXT}, "/items", "items-closed", True),
    ({"prefixItems": [TEXT]}, {"prefixItems": [WHOLE]}, "/prefixItems/0/type", "type-changed", True),
    (thing(a=thing(b=TEXT)), thing(a=thing("b", b=TEXT)), "/properties/a/properties/b", "required-added", True),
    (thing(**{"a/b~": TEXT}), thing(**{"a/b~": WHOLE}), "/properties/a~1b~0/type", "type-changed", True),
    ({"anyOf": [TEXT]}, {"anyOf": [TEXT, WHOLE]}, "/anyOf", "anyOf-added", False),
    ({"anyOf": [TEXT, WHOLE]}, {"anyOf": [TEXT]}, "/anyOf", "anyOf-removed", True),
    ({"allOf": [TEXT]}, {"allOf": [TEXT, {"minLength": 1}]}, "/allOf", "allOf-added", True),
    ({"allOf": [TEXT, {"minLength": 1}]}, {"allOf": [TEXT]}, "/allOf", "allOf-removed", False),
    ({"not": TEXT}, {"not": WHOLE}, "/not", "not-changed", True),
    (thing(a=True), thing(a=False), "/properties/a", "schema-closed", True),
    (thing(a=False), thing(a=TEXT), "/properties/a", "schema-opened", False),
]


@pytest.mark.parametrize(("old", "new", "pointer", "kind", "breaking"), RULES)
def test_a_change_has_its_place_its_kind_and_its_verdict(
    old: Any, new: Any, pointer: str, kind: str, breaking: bool
) -> None:
    """One change each, as the rules have it (FL-130 to FL-134)."""
    found = between(old, new)
    assert [(each.pointer, each.kind, each.breaking) for each in found.changes] == [(pointer, kind, breaking)]
    assert (found.compatible, found.reason) == (
        not breaking,
        "breaking changes" if breaking else "non-breaking changes",
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "title": "a"}, {"type": ["string"], "description": "b", "examples": ["c"]}),
        ({"minLength": 0}, {}),
        ({"additionalProperties": True}, {"additionalProperties": {}}),
        ({"enum": [1, "a"]}, {"enum": ["a", 1.0]}),
        ({"$ref": "#/$defs/a", "$defs": {"a": TEXT}}, TEXT),
        ({"$ref": "#/$defs/a", "minLength": 2, "$defs": {"a": TEXT}}, TEXT | {"minLength": 2}),
    ],
)
def test_what_says_the_same_in_other_words_is_no_change(old: Any, new: Any) -> None:
    """Annotations, order, spelling and the place of a definition do not count (FL-134)."""
    found = between(old, new)
    assert (found.changes, found.reason) == ((), "compatible")


def test_references_are_followed_on_both_sides_and_circles_end() -> None:
    """A tree that refers to itself is compared once; what changed in it is told by its place (FL-133)."""

    def tree(leaf: Json) -> Json:
        node = thing(value=leaf, children={"type": "array", "items": {"$ref": "#/$defs/node"}})
        return {"$ref": "#/$defs/node", "$defs": {"node": node}}

    assert between(tree(TEXT), tree(TEXT)).changes == ()
    found = between(tree(TEXT), tree(WHOLE))
    assert [each.pointer for each in found.changes][:1] == ["/properties/value/type"]
    assert not found.compatible
    # Unrolled once, it is still the same tree.
    unrolled = tree(TEXT) | {"$ref": "#/$defs/once"}
    unrolled["$defs"] = unrolled["$defs"] | {"once": unrolled["$defs"]["node"]}
    assert between(tree(TEXT), unrolled).changes == ()


def test_what_a_reference_and_its_neighbours_both_demand_counts_twice() -> None:
    """A keyword beside a reference does not hide the same one behind it (FL-133)."""
    definitions = {"$defs": {"a": {"minimum": 1}}}
    old = {"$ref": "#/$defs/a", "minimum": 0, **definitions}
    tighter = {"$ref": "#/$defs/a", "minimum": 0, "$defs": {"a": {"minimum": 2}}}
    assert between(old, old).changes == ()
    assert [each.kind for each in between(old, tighter).changes] == ["minimum-raised"]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"$ref": "https://elsewhere.example/a.json"}, "leads nowhere"),
        ({"$ref": "#"}, "leads in a circle"),
        ({"$dynamicRef": "#a"}, "use \\$ref"),
        ({"minimum": "1"}, "must be a number"),
        ({"required": "a"}, "must be an array"),
        ({"properties": []}, "must be an object"),
        (5, "is no schema"),
    ],
)
def test_a_schema_that_cannot_be_used_says_why(schema: Any, reason: str) -> None:
    """It is an error and no verdict."""
    with pytest.raises(SchemaError, match=reason):
        between(schema, {"type": "object"})


def test_every_shipped_schema_is_compatible_with_itself() -> None:
    """References across documents are followed (FL-133)."""
    others = schemas.json_schemas("v1", exact=True)
    for schema in others.values():
        assert compare(root(schema, others), root(schema, others)).reason == "compatible"


def command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "schemas", "compare", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_follows_files_and_ends_with_its_verdict(tmp_path: Path) -> None:
    """0 compatible, 1 breaking, 2 unusable; what a file refers to lies beside it (FL-133, FL-134)."""
    old = schemas.filters_path().parents[1] / "json" / "v1"
    new = tmp_path / "v2"
    shutil.copytree(old, new)
    event = Path("event", "event.json")
    assert command(old / event, new / event).stdout == "compatible\n"
    values = new / "entity" / "values.json"
    values.write_text(values.read_text().replace('"minLength": 1', '"minLength": 2'))
    told = command(old / event, new / event)
    assert (told.returncode, told.stdout.splitlines()[-1]) == (1, "breaking changes")
    assert "/properties/entities/items/oneOf/0/properties/vin" not in told.stdout
    assert "/properties/entities/items/oneOf/0/properties/make/minLength  minLength-raised: 1 -> 2" in told.stdout
    car = json.loads(command(old / "entity" / "car.json", new / "entity" / "car.json", "--json").stdout)
    assert (car["compatible"], car["reason"], car["nonBreakingChanges"]) == (False, "breaking changes", [])
    assert {"path": "/properties/make/minLength", "kind": "minLength-raised", "before": 1, "after": 2} in car[
        "breakingChanges"
    ]
    values.unlink()
    missing = command(old / event, new / event)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "values.json" in missing.stderr
    with pytest.raises(SchemaError, match="leads nowhere"):
        compare(root_of_file(old / event), root_of_file(new / event))


# Each leaf with one that is tighter, and a document that tells them apart.
TIGHTENED: list[tuple[Any, Any, Any]] = [
    (TEXT, WHOLE, "a"),
    ({"type": ["string", "null"]}, TEXT, None),
    ({"minimum": 1}, {"minimum": 2}, 1),
    ({}, {"minimum": 2}, 1),
    ({"maximum": 5}, {"maximum": 4}, 5),
    ({"enum": [1, 2]}, {"enum": [1]}, 2),
    ({}, {"enum": ["a"]}, "b"),
    ({"minLength": 1}, {"minLength": 2}, "a"),
    ({"maxLength": 2}, {"maxLength": 1}, "ab"),
    ({}, {"pattern": "^a"}, "b"),
    ({"multipleOf": 2}, {"multipleOf": 4}, 2),
    ({"maxItems": 2}, {"maxItems": 1}, [1, 2]),
    ({}, {"uniqueItems": True}, [1, 1]),
    (thing(a=TEXT), thing("a", a=TEXT), {}),
    (thing(a=TEXT), thing(a=TEXT, more=False), {"b": 1}),
    (thing(a=TEXT, more=False), thing(more=False), {"a": "x"}),
    ({"anyOf": [TEXT, WHOLE]}, {"anyOf": [TEXT]}, 1),
    ({}, {"not": {"const": 1}}, 1),
    (True, False, 1),
]


def wrapped(inner: st.SearchStrategy[tuple[Any, Any, Any]]) -> st.SearchStrategy[tuple[Any, Any, Any]]:
    """Put a pair of schemas and its witness into an object, an array, an alternative or behind a reference."""

    def wrap(drawn: tuple[str, tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
        how, (old, new, witness) = drawn
        match how:
            case "property":
                return thing("p", p=old, q=TEXT), thing("p", p=new, q=TEXT), {"p": witness}
            case "items":
                return {"items": old}, {"items": new}, [witness]
            case "extra":
                return thing(more=old), thing(more=new), {"other": witness}
            case "all":
                return {"allOf": [{}, old]}, {"allOf": [{}, new]}, witness
            case _:

                def behind(schema: Any) -> Json:
                    # A name of its own, so that nested ones do not take each other's place.
                    name = f"https://schemas.example/{len(json.dumps(schema))}"
                    return {"$id": name, "$ref": "#/$defs/d", "$defs": {"d": schema}}

                return behind(old), behind(new), witness

    kinds = st.sampled_from(("property", "items", "extra", "all", "reference"))
    return st.tuples(kinds, inner).map(wrap)


tightened = st.recursive(st.sampled_from(TIGHTENED), wrapped, max_leaves=4)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 5), st.sampled_from(("", "a", "ab", "b"))),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pqab"), inner, max_size=2),
    max_leaves=4,
)


@given(tightened)
def test_what_is_called_breaking_refuses_a_document_that_was_taken(pair: tuple[Any, Any, Any]) -> None:
    """The witness is valid under the old schema and not under the new one, wherever the change is (FL-130, FL-133)."""
    old, new, witness = pair
    assert Draft202012Validator(old).is_valid(witness)
    assert not Draft202012Validator(new).is_valid(witness)
    assert not between(old, new).compatible


@given(tightened, values)
def test_what_is_called_compatible_takes_every_document_that_was_taken(
    pair: tuple[Any, Any, Any], document: Any
) -> None:
    """Read backwards, a pair is relaxed, or has a change that the rules call breaking in both directions (FL-131)."""
    strict, loose = pair[1], pair[0]
    if between(strict, loose).compatible and Draft202012Validator(strict).is_valid(document):
        assert Draft202012Validator(loose).is_valid(document)


@given(tightened)
def test_a_schema_is_compatible_with_itself(pair: tuple[Any, Any, Any]) -> None:
    """Nothing has changed (FL-134)."""
    for schema in pair[:2]:
        assert between(schema, json.loads(json.dumps(schema))).reason == "compatible"


@given(tightened, st.sampled_from("xyz"))
def test_an_optional_property_more_is_never_breaking(pair: tuple[Any, Any, Any], name: str) -> None:
    """Whatever it is, and whatever stands beside it (FL-131)."""
    old = thing("p", p=pair[0])
    assert between(old, old | {"properties": {**old["properties"], name: pair[1]}}).reason == "non-breaking changes"
