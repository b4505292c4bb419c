"""Owns which form a stack's values have, JSON or Avro: the choice, its record, and what each stage is told of it.

A topic holds records of one form: the choice is made with the first start of a stack and stays. Must never start
anything.
"""

from typing import Any

from stack import maven
from stack.errors import StackError
from stack.settings import StackSettings


def settled(present: StackSettings, recorded: StackSettings | None) -> StackSettings:
    """Return the settings with the form that the stack's topics have.

    Args:
        present: What is set now.
        recorded: What the stack was started with before; None for a new one.

    Raises:
        StackError: Another form is asked for than the topics have, or one that the engine cannot write.
    """
    settings = present
    if recorded is not None:
        if "value_format" in present.model_fields_set and present.value_format != recorded.value_format:
            raise StackError(
                f"The topics of this stack hold {recorded.value_format}, and HEADWATER_VALUE_FORMAT is "
                f"{present.value_format}.",
                "Unset the variable, set HEADWATER_STATE_DIR to another folder, or start afresh with `up --wipe`.",
            )
        kept: dict[str, Any] = {"value_format": recorded.value_format}
        if "registry_url" not in present.model_fields_set:
            kept["registry_url"] = recorded.registry_url
        settings = present.model_copy(update=kept)
    return settings


def refuse_debezium(settings: StackSettings) -> None:
    """Refuse Debezium where values are Avro: its converter for a registry is not part of the stack.

    Raises:
        StackError: They are.
    """
    if settings.value_format == "avro":
        raise StackError(
            "Debezium writes JSON here, and HEADWATER_VALUE_FORMAT is avro.",
            "Use the native engine for Avro, or a stack whose values are JSON.",
        )


def engine(settings: StackSettings) -> dict[str, str]:
    """Return what our own engine is told."""
    if settings.value_format == "json":
        return {}
    return {"CDC_FORMAT": "avro", "CDC_SCHEMA_REGISTRY_URL": settings.schemas_url}


def flink_job(settings: StackSettings) -> dict[str, str]:
    """Return what the Flink stage is told."""
    if settings.value_format == "json":
        return {}
    jars = ":".join(map(str, maven.class_path("flink-avro", settings.cache_dir)))
    return {"FLINK_VALUE_FORMAT": "avro", "FLINK_AVRO_JARS": jars, "SCHEMA_REGISTRY_URL": settings.schemas_url}
