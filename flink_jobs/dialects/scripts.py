"""Owns the choice of what is made of a filter file: the SQL of a dialect, and what the processor without Flink reads.

Every command that prints or writes SQL comes here, so that there is one answer. Must never run or send anything.
Facts: FL-44, FL-55, FL-56 and FL-60 of the contract.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from flink_jobs.dialects.confluent import PROPERTIES, Call, DialectError, Inserts, ValueFormat, calls
from flink_jobs.dialects.files import printed, write_folder
from flink_jobs.dialects.msk import msk_places
from flink_jobs.filters import FilterSet, to_file_form
from flink_jobs.settings import SqlSettings
from flink_jobs.sql import Places, Statement, script, statements

PROCESSOR_FILE: Final = "filters-processor.json"


class Dialect(StrEnum):
    """Name the service that is to run the filters."""

    LOCAL = "local"
    """Open-source Flink on a broker without passwords."""
    CONFLUENT = "confluent"
    """Confluent Cloud for Apache Flink."""
    MSK = "msk"
    """Amazon Managed Service for Apache Flink on Amazon MSK with IAM."""


@dataclass(frozen=True, slots=True)
class Script:
    """Hold the SQL of one filter set in one dialect.

    Attributes:
        dialect: Whose SQL it is.
        source: What it was made from, for its header.
        calls: The statements with their names, in the order they are run.
        parts: The same as the local dialect has them; empty for Confluent Cloud.
    """

    dialect: Dialect
    source: str
    calls: tuple[Call, ...]
    parts: tuple[Statement, ...] = ()

    def printed(self) -> str:
        """Return it as one text to read."""
        if self.dialect is Dialect.CONFLUENT:
            return printed(self.calls, PROPERTIES, self.source)
        return script(self.parts, self.source)

    def names(self) -> tuple[str, ...]:
        """Return the files that `write` makes."""
        if self.dialect is Dialect.CONFLUENT:
            return tuple(f"{number:02}-{each.name}.sql" for number, each in enumerate(self.calls, 1))
        return (f"{self.dialect}.sql",)

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write it to a folder: for Confluent Cloud a file a call, else one script; return the files."""
        if self.dialect is Dialect.CONFLUENT:
            return write_folder(folder, self.calls, PROPERTIES, self.source)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.dialect}.sql"
        file.write_text(self.printed(), "utf-8")
        return (file,)


def make(
    filters: FilterSet,
    settings: SqlSettings,
    dialect: Dialect,
    value_format: ValueFormat = ValueFormat.JSON,
    inserts: Inserts = Inserts.SET,
) -> Script:
    """Return the SQL of these filters.

    Args:
        filters: The filters.
        settings: Topics, and the broker where the dialect names one.
        dialect: Whose SQL.
        value_format: Confluent Cloud: the form of values.
        inserts: Confluent Cloud: one statement for all, or one for each.

    Raises:
        DialectError: The dialect cannot take them, or needs to be told the broker.
    """
    source = settings.filters_file.name
    if dialect is Dialect.CONFLUENT:
        return Script(dialect, source, calls(filters, settings.places, value_format, inserts))
    if not settings.kafka_bootstrap_servers:
        raise DialectError(f"the {dialect} dialect names the broker: set KAFKA_BOOTSTRAP_SERVERS")
    parts = statements(filters, _places(settings, dialect))
    return Script(dialect, source, tuple(Call(each.name, each.text) for each in parts), parts)


def processor_set(filters: FilterSet) -> FilterSet:
    """Return what the processor without Flink runs: the filters that are enabled for the target `spring`."""
    return FilterSet(version=filters.version, filters=tuple(each for each in filters.filters if each.runs_on("spring")))


def processor_text(filters: FilterSet) -> str:
    """Return the configuration of the processor without Flink: those filters in the form of the file."""
    return json.dumps(to_file_form(processor_set(filters)), indent=2, ensure_ascii=False) + "\n"


def faults(filters: FilterSet, settings: SqlSettings) -> Iterator[tuple[Dialect, str, str]]:
    """Yield why a dialect cannot take the filters, as (dialect, JSON path of the filter or `$`, reason).

    For Confluent Cloud it is enough that one of the two forms of inserts can be written.
    """
    named = settings.model_copy(update={"kafka_bootstrap_servers": settings.kafka_bootstrap_servers or "broker:9092"})
    for dialect in Dialect:
        reason = _refusal(filters, named, dialect)
        if reason is not None:
            alone = (
                (f"$.filters[{index}]", cause)
                for index, each in enumerate(filters.filters)
                if (cause := _refusal(FilterSet(version=1, filters=(each,)), named, dialect))
            )
            path, cause = next(alone, ("$", reason))
            yield dialect, path, cause


def _refusal(filters: FilterSet, settings: SqlSettings, dialect: Dialect) -> str | None:
    reason = None
    for inserts in Inserts if dialect is Dialect.CONFLUENT else (Inserts.SET,):
        try:
            make(filters, settings, dialect, inserts=inserts)
        except DialectError as error:
            reason = str(error)
        else:
            return None
    return reason


def _places(settings: SqlSettings, dialect: Dialect) -> Places:
    # A script is for reading and for files, so it holds no secret.
    places = settings.places.shown
    if dialect is not Dialect.MSK:
        return places
    # The mark of the processor is another one there, unless somebody has chosen it.
    chosen = "topic_suffix" in settings.model_fields_set
    return msk_places(places, settings.topic_suffix) if chosen else msk_places(places)
