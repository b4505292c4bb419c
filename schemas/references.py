"""Owns places in a JSON Schema and where their references lead: within the document, and into others beside it.

A place that is a reference with keywords beside it is both at once. Other documents are found by their `$id` or by
their file, seen from the first one; nothing is fetched from a network. Must never compare or validate.
Facts: JSON Schema 2020-12, chapters 8 and 9.
"""

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import referencing
from referencing.exceptions import Unresolvable as _Unresolvable
from referencing.jsonschema import DRAFT202012

_LONGEST_CHAIN: Final = 100
_SINGLE: Final = frozenset(
    {"not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties", "unevaluatedItems"}
)
_MANY: Final = frozenset({"patternProperties", "dependentSchemas"})

ANNOTATIONS: Final = frozenset(
    {"$id", "$schema", "$comment", "$anchor", "$defs", "definitions", "title", "description", "default", "examples",
     "deprecated", "readOnly", "writeOnly"}
)  # fmt: skip
"""What says nothing about a document."""


class SchemaError(ValueError):
    """Say why a schema cannot be used: it is none, or a reference of it leads nowhere."""


_Part = tuple[Mapping[str, Any], Any]
"""Keywords, and the resolver of their references."""


@dataclass(frozen=True, slots=True)
class Place:
    """Hold one schema within a document.

    Attributes:
        value: The schema as it is written.
        resolver: What its references are seen from.
    """

    value: Mapping[str, Any] | bool
    resolver: Any

    def followed(self) -> "Followed":
        """Return what the place stands for, references followed.

        Raises:
            SchemaError: A reference leads nowhere, or in a circle.
        """
        parts: list[_Part] = []
        value: Any = self.value
        resolver = self.resolver
        for _ in range(_LONGEST_CHAIN):
            if isinstance(value, bool):
                return Followed(tuple(parts), refused=not value)
            if not isinstance(value, Mapping):
                raise SchemaError(f"{value!r} is no schema; a schema is an object, true or false")
            if "$dynamicRef" in value or "$recursiveRef" in value:
                raise SchemaError(
                    "a reference that depends on the way to it ($dynamicRef) cannot be compared; use $ref"
                )
            resolver = resolver.in_subresource(DRAFT202012.create_resource(value))
            parts.append(({name: each for name, each in value.items() if name not in {*ANNOTATIONS, "$ref"}}, resolver))
            if "$ref" not in value:
                return Followed(tuple(part for part in parts if part[0]))
            try:
                found = resolver.lookup(value["$ref"])
            except (_Unresolvable, OSError, ValueError, TypeError, AttributeError) as error:
                raise SchemaError(f"the reference {value['$ref']!r} leads nowhere: {error}") from error
            value, resolver = found.contents, found.resolver
        raise SchemaError(f"the reference {value['$ref']!r} leads in a circle")


@dataclass(frozen=True, slots=True)
class Followed:
    """Hold what a place stands for: keywords, each with what its references are seen from.

    Attributes:
        parts: The place itself, then what its reference leads to. Of equal keywords the first counts, and the rest of
            what they demand is one more member of `allOf`.
        refused: Whether it is the schema false, which takes nothing.
    """

    parts: tuple[_Part, ...]
    refused: bool = False

    @property
    def keywords(self) -> dict[str, Any]:
        """Return every keyword with its value."""
        return {name: value for part, _ in reversed(self._distinct()) for name, value in part.items()}

    def child(self, name: str) -> Place | None:
        """Return the schema under a keyword such as `items`; None if there is none."""
        found = next(((part[name], resolver) for part, resolver in self._distinct() if name in part), None)
        return None if found is None else Place(*found)

    def named(self, name: str) -> dict[str, Place]:
        """Return the schemas under a keyword such as `properties` by their names."""
        found = self.child(name)
        if found is None:
            return {}
        if not isinstance(found.value, Mapping):
            raise SchemaError(f"{name!r} is {found.value!r}, and it must be an object")
        return {key: Place(each, found.resolver) for key, each in found.value.items()}

    def listed(self, name: str) -> list[Place]:
        """Return the schemas under a keyword such as `anyOf`."""
        found = self.child(name)
        own = [] if found is None else [Place(each, found.resolver) for each in _array(name, found.value)]
        return [*own, *self._further()] if name == "allOf" else own

    def names(self, name: str) -> list[str]:
        """Return the texts under a keyword such as `required`."""
        return [str(each) for each in _array(name, self.keywords.get(name, []))]

    def below(self, name: str) -> list[Place]:
        """Return every schema directly under a keyword that is compared as a whole."""
        if name in _MANY:
            return list(self.named(name).values())
        found = self.child(name) if name in _SINGLE else None
        return [found] if found is not None else []

    def _distinct(self) -> list[_Part]:
        return [part for part, further in self._sorted() if not further]

    def _further(self) -> list[Place]:
        return [Place(part[0], part[1]) for part, further in self._sorted() if further]

    def _sorted(self) -> Iterator[tuple[_Part, bool]]:
        taken: set[str] = set()
        for keywords, resolver in self.parts:
            clashes = bool(taken & set(keywords))
            if not clashes:
                taken |= set(keywords)
            yield (keywords, resolver), clashes


def root(schema: Any, others: Mapping[str, Any] | None = None) -> Place:
    """Return a schema as the place to start from.

    Args:
        schema: The schema, as JSON has it.
        others: The documents that it may refer to, by their `$id`.
    """
    resources = {name: _resource(body) for name, body in (others or {}).items()}
    registry: Any = referencing.Registry().with_resources(resources.items())
    return _start(schema, registry, "")


def root_of_file(path: Path) -> Place:
    """Read a schema file as the place to start from; what it refers to is looked for in the files beside it.

    Raises:
        SchemaError: The file cannot be read, or is no schema.
    """
    schema = _read(path)
    base = (schema.get("$id") if isinstance(schema, Mapping) else None) or path.absolute().as_uri()
    if not isinstance(base, str):
        raise SchemaError(f"{path}: $id is no text")
    retrieve: Any = _beside(path, base)
    registry: Any = referencing.Registry(retrieve=retrieve)  # type: ignore[call-arg]  # its attributes are not seen
    return _start(schema, registry, path.absolute().as_uri())


def _beside(path: Path, base: str) -> Callable[[str], Any]:
    """Return how a URI becomes a document: the file that lies to the first one as the URI lies to the first one's."""
    home = posixpath.dirname(urlsplit(base).path)

    def retrieve(uri: str) -> Any:
        parts, known = urlsplit(uri), urlsplit(base)
        if (parts.scheme, parts.netloc) != (known.scheme, known.netloc):
            raise SchemaError(f"{uri} is not beside {base}, and nothing is fetched from elsewhere")
        steps = posixpath.relpath(unquote(parts.path), unquote(home) or "/")
        return _resource(_read(path.absolute().parent / steps))

    return retrieve


def _array(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise SchemaError(f"{name!r} is {value!r}, and it must be an array")
    return value


def _start(schema: Any, registry: Any, uri: str) -> Place:
    resource = _resource(schema)
    name = resource.id() or uri
    return Place(schema, registry.with_resource(name, resource).resolver(name))


def _resource(schema: Any) -> Any:
    if not isinstance(schema, Mapping | bool):
        raise SchemaError(f"{schema!r} is no schema; a schema is an object, true or false")
    return DRAFT202012.create_resource(schema)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path} cannot be read as JSON: {error}") from error
