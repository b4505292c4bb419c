"""The contracts of the pipeline as data: SQL, JSON Schemas, filters, topics, samples, and a loader for them."""

from schemas.events import render, sized_event
from schemas.loader import (
    ENTITY_SCHEMAS,
    EVENT_TYPES,
    Topic,
    avro_schema,
    dealer_filters_path,
    filter_file_schema,
    filtered_topic,
    filters_path,
    json_schema,
    json_schemas,
    postgres_sql,
    registry_schema,
    samples,
    topics,
)

__all__ = [
    "ENTITY_SCHEMAS",
    "EVENT_TYPES",
    "Topic",
    "avro_schema",
    "dealer_filters_path",
    "filter_file_schema",
    "filtered_topic",
    "filters_path",
    "json_schema",
    "json_schemas",
    "postgres_sql",
    "registry_schema",
    "render",
    "samples",
    "sized_event",
    "topics",
]
