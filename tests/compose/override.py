"""Turns a compose file's public images into stand-ins: an override file, to be given after it.

`docker compose -f docker-compose.yml -f override.yml …`. It only names images, and the base of those built from this
repository, in words that compose 1.29 takes as well.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

IMAGES_VARIABLE = "HEADWATER_TEST_IMAGES"
"""`public` runs the tests on the public images, where those can be pulled."""

SERVICES: Mapping[str, str] = {
    "postgres": "postgres",
    "kafka": "kafka",
    "schema-registry": "registry",
    "flink-jobmanager": "flink",
    "flink-taskmanager": "flink",
    "prometheus": "prometheus",
}
"""Which stand-in serves which service."""

PUBLIC: Mapping[str, str] = {
    "base": "python:3.11.14-slim-bookworm",
    "postgres": "postgres:15.18",
    "kafka": "apache/kafka:4.3.0",
    "flink": "flink:2.2.1-java21",
    "registry": "apicurio/apicurio-registry:3.3.3",
    "prometheus": "prom/prometheus:v3.5.0",
}
"""What each stands in for."""


def public() -> bool:
    """Tell whether the tests shall use the public images."""
    return os.environ.get(IMAGES_VARIABLE) == "public"


def override(compose_file: Path, image: Callable[[str], str]) -> str:
    """Return the text of an override of a compose file, given what tells the tag of each stand-in.

    Raises:
        LookupError: A service without a profile would pull a public image.
    """
    given = yaml.safe_load(compose_file.read_text())
    built = {service.get("image") for service in given["services"].values() if "build" in service}
    services: dict[str, Any] = {}
    for name, service in given["services"].items():
        if "build" in service:
            services[name] = {"build": {"args": {"BASE": image("base")}}}
        elif name in SERVICES:
            services[name] = {"image": image(SERVICES[name])}
        elif service.get("image") not in built and not service.get("profiles"):
            raise LookupError(f"no stand-in for the service {name} ({service.get('image')})")
    # Files of one project must agree on their version, if they state one.
    version = {"version": given["version"]} if "version" in given else {}
    return yaml.safe_dump({**version, "services": services}, sort_keys=False)
