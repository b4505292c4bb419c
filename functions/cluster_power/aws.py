"""AWS clients with short times, and what a failed call may be told as.

Owns how long a call may take: two tries of a few seconds, so that a function ends well before its 60 s.
"""

from typing import Any, Final

_CONNECT_SECONDS: Final = 2
_READ_SECONDS: Final = 5
_TRIES: Final = 2


def client(service: str, region: str | None) -> Any:
    """Return a client of an AWS service; `AWS_ENDPOINT_URL_<SERVICE>` sends it to an emulator."""
    # Loaded at the first call, so that importing a handler stays cheap.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": _TRIES, "mode": "standard"},
    )
    return boto3.client(service, region_name=region, config=config)


def told(error: Exception) -> tuple[str, str]:
    """Return AWS's code and one line about a failure; without an answer of AWS the code is the type's name."""
    said = getattr(error, "response", {}).get("Error", {})
    code = str(said.get("Code") or type(error).__name__)
    return code, f"{code}: {said.get('Message') or error}"
