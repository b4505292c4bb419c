"""Owns the local DynamoDB: Amazon's DynamoDB Local from Maven Central, its archives and its process.

Data lives in one SQLite file below the state folder, so that it outlives the process, also a killed one. Must never
create a table; the functions do. It listens on every interface, which it gives no choice about, and checks no
signature. Source of facts: Amazon DynamoDB Developer Guide, «DynamoDB local usage notes».
"""

from pathlib import Path
from typing import Final

import httpx

from stack import java, maven
from stack.service import Service
from stack.settings import HOST

BUNDLE: Final = "dynamodb"
SERVICE: Final = "dynamodb"

_MAIN: Final = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"


def command(cache: Path, data: Path, port: int) -> tuple[str, ...]:
    """Return the command line of the server; `maven.fetch` has brought its archives."""
    libraries = ":".join(map(str, maven.library_path(BUNDLE, cache)))
    return tuple(
        java.command(
            maven.class_path(BUNDLE, cache),
            _MAIN,
            options=(*java.SMALL, "-Xms32m", "-Xmx192m", f"-Djava.library.path={libraries}"),
            # One file for all accounts and regions: a caller with other credentials meets the same tables.
            arguments=("-sharedDb", "-dbPath", str(data), "-port", str(port), "-disableTelemetry"),
        )
    )


def service(cache: Path, data: Path, port: int) -> Service:
    """Describe the server; it is ready when it answers. The folder of its data is created here."""
    data.mkdir(parents=True, exist_ok=True)
    url = f"http://{HOST}:{port}"

    def ready() -> bool:
        try:
            # Without a signature the answer is an error, but one of DynamoDB.
            return "x-amzn-requestid" in httpx.get(url, timeout=3).headers
        except httpx.HTTPError:
            return False

    return Service(name=SERVICE, command=command(cache, data, port), ready=ready, stop_seconds=5, endpoint=url)
