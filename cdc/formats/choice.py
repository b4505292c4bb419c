"""Owns the choice of the format that the settings ask for. What only one format needs is imported only for it."""

from typing import TYPE_CHECKING

from cdc.emission import FormatName
from cdc.formats.debezium import DebeziumFormat
from cdc.formats.flat import FLAT
from cdc.formats.protocol import Format
from cdc.settings import Settings

if TYPE_CHECKING:
    from cdc.registry import Registry


class Formats:
    """Make the format of each session."""

    def __init__(self, settings: Settings) -> None:
        """Look at the settings; what is asked of a registry once is known for all sessions."""
        self._settings = settings
        self._avro = _avro(settings) if settings.cdc_format is FormatName.AVRO else None

    def of(self, database: str) -> Format:
        """Return the format for the records of a database."""
        if self._settings.cdc_format is FormatName.DEBEZIUM:
            return DebeziumFormat(self._settings.cdc_topic_prefix, database)
        return self._avro or FLAT


def registry_level(settings: Settings) -> str | None:
    """Return the compatibility that the schema registry asks for by default; None where no registry is used.

    Raises:
        RegistryError: The registry cannot be reached, or refuses.
    """
    if settings.cdc_format is not FormatName.AVRO:
        return None
    return _registry(settings).compatibility()


def _avro(settings: Settings) -> Format:
    # Only who asks for Avro pays for its libraries, in memory and in time to start.
    from cdc.formats.avro import AvroFormat  # noqa: PLC0415

    return AvroFormat(_registry(settings))


def _registry(settings: Settings) -> "Registry":
    from cdc.registry import Registry  # noqa: PLC0415  # as above

    url = settings.cdc_schema_registry_url
    assert url is not None, "the settings have been checked"
    return Registry(url.get_secret_value(), settings.cdc_schema_registry_config)
