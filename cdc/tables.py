"""Owns how a captured table is named, and where its records go."""

from dataclasses import dataclass

from cdc.records import TopicName


@dataclass(frozen=True, slots=True)
class TableName:
    """A table by schema and name, as the catalogue spells them."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Route:
    """Where the changes of one table go, and its primary key as the catalogue had it when the engine started."""

    topic: TopicName
    primary_key: tuple[str, ...] = ()
    oid: int = 0
    """The table itself, whatever it is called later; 0 if nobody asked."""
