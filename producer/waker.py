"""Have a database started that cannot be reached.

Owns the one call of the auto-start function (LC-20 to LC-24): synchronous, tried once, and never waited for longer than
the timeout, whatever the network does.
"""

from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import boto3
import orjson
import structlog
from botocore.config import Config

from producer.api import Wake

_log = structlog.get_logger()


class AutoStartWaker:
    """Ask one Lambda function; threads may share it.

    Args:
        function: Name or ARN of the auto-start function.
        seconds: How long a request may wait for its answer.
        region: Of the function; None leaves it to the SDK.
    """

    def __init__(self, function: str, seconds: float, region: str | None) -> None:
        self._function = function
        self._seconds = seconds
        config = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
        self._client: Any = boto3.client("lambda", region_name=region, config=config)

    def __call__(self) -> Wake:
        """Return what the function says; never raises, and returns within the timeout."""
        answers: SimpleQueue[Wake] = SimpleQueue()
        # The SDK's own timeouts hold for each step alone, and none for looking up a name: so the time of the whole
        # call is kept here. A call that is too late ends by itself, and its answer is nobody's.
        Thread(target=lambda: answers.put(self._ask()), name="auto-start", daemon=True).start()
        try:
            return answers.get(timeout=self._seconds)
        except Empty:
            _log.warning("auto_start_slow", function=self._function, seconds=self._seconds)
            return Wake.UNKNOWN

    def _ask(self) -> Wake:
        try:
            answer = self._client.invoke(FunctionName=self._function, InvocationType="RequestResponse", Payload=b"{}")
            said = answer["Payload"].read()
            status = None if "FunctionError" in answer else _status(said)
        except Exception as error:  # noqa: BLE001 - LC-24: it changes nothing for the sender
            _log.warning("auto_start_failed", function=self._function, error=f"{type(error).__name__}: {error}")
            return Wake.UNKNOWN
        _log.info("auto_start_asked", function=self._function, status=status, error=answer.get("FunctionError"))
        return Wake.STARTING if status == Wake.STARTING.value else Wake.UNKNOWN


def _status(output: bytes) -> str | None:
    """Return the state that the function names; None when it failed or says something else."""
    try:
        said = orjson.loads(output)
        status = orjson.loads(said["body"])["status"] if said["statusCode"] == 200 else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return status if isinstance(status, str) else None
