"""Owns the choice of the format that the settings ask for. What only one format needs is imported only for it."""

from cdc.emission import FormatName
from cdc.formats.debezium import DebeziumFormat
from cdc.formats.flat import FLAT
from cdc.formats.protocol import Format
from cdc.settings import Settings


class Formats:
    """Make the format of each session."""

    def __init__(self, settings: Settings) -> None:
        """Look at the settings."""
        self._settings = settings

    def of(self, database: str) -> Format:
        """Return the format for the records of a database."""
        if self._settings.cdc_format is FormatName.DEBEZIUM:
            return DebeziumFormat(self._settings.cdc_topic_prefix, database)
        return FLAT
