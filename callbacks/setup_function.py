"""The custom resource that prepares the database: `callbacks.setup_function.handler`.

Owns what each request of CloudFormation does (LC-94) and the one answer to it (LC-95). Every failure that can still be
told is told: a stack that hears nothing waits for an hour. What is created, `callbacks.setup` says.
"""

import json
from typing import Any, Final, Protocol

import psycopg
import structlog
import urllib3
from pydantic import ValidationError

from callbacks import logs
from callbacks.settings import SecretSettings, TargetSettings
from callbacks.setup import FUNCTIONS, install
from database import AddressError, Deadline, Link, RetryPolicy

_log = structlog.get_logger()

PHYSICAL_ID: Final = "headwater-callbacks"
"""The same for ever: another one would make CloudFormation delete what it has just updated."""

# What the answer needs after the last attempt.
_ANSWER_SECONDS: Final = 10.0
_PATIENCE: Final = RetryPolicy(attempts=10, first_wait=0.5, longest_wait=5.0)

# CloudFormation takes 4096 bytes in all.
_SHOWN_CHARACTERS: Final = 1000


class SetupError(Exception):
    """A failure that the answer tells."""


class Context(Protocol):
    """What of the Lambda context is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


def handler(event: dict[str, Any], context: Context) -> None:
    """Do what a request of CloudFormation asks, and answer at its response URL exactly once.

    Raises:
        SetupError: The answer could not be delivered. Lambda then calls again, and the setup may be repeated.
    """
    seconds = context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS
    try:
        data = _perform(event, Deadline.after(seconds))
    except Exception as error:  # noqa: BLE001 - whatever it is, the stack must hear of it
        # Only what we worded ourselves is known to hold no secret.
        known = isinstance(error, SetupError)
        reason = str(error) if known else f"{type(error).__name__}: look at the log of this function"
        _log.error("setup_failed", error=reason, request=event.get("RequestType"))
        _answer(event, "FAILED", reason, {})
    else:
        _answer(event, "SUCCESS", "", data)


def _perform(event: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    match event.get("RequestType"):
        case "Create" | "Update":
            return _prepare(deadline)
        case "Delete":
            # The functions go with the database, and others may use them.
            return {}
        case other:
            raise SetupError(f"RequestType is {other!r}: Create, Update or Delete is known")


def _prepare(deadline: Deadline) -> dict[str, Any]:
    # Not at the start of the process: a start that fails would answer nobody.
    try:
        settings, target = SecretSettings(), TargetSettings()
        logs.configure(settings.log_level)
        link = settings.link()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        named = "; ".join(f"{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in faults)
        raise SetupError(f"the settings are wrong: {named}") from None
    except ValueError as error:
        raise SetupError(str(error)) from None
    try:
        # The whole of it may be repeated.
        _PATIENCE.run(lambda: _install(link, target, deadline), deadline)
    except (psycopg.Error, AddressError) as error:
        raise SetupError(link.public_text(error)) from error
    finally:
        link.discard()
    return {"Functions": ",".join(FUNCTIONS)}


def _install(link: Link, target: TargetSettings, deadline: Deadline) -> None:
    install(link.connection(deadline), target.postgres_function_name, target.aws_region)


def _answer(event: dict[str, Any], status: str, reason: str, data: dict[str, Any]) -> None:
    body = {
        "Status": status,
        "Reason": reason[:_SHOWN_CHARACTERS],
        "PhysicalResourceId": event.get("PhysicalResourceId") or PHYSICAL_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": data,
    }
    # Repeated only where it was not taken: no connection, or an error of the store. The URL is signed for an empty
    # content type.
    retries = urllib3.Retry(
        connect=3,
        read=0,
        redirect=0,
        status=3,
        status_forcelist=(500, 502, 503),
        allowed_methods=None,
        backoff_factor=0.5,
    )
    try:
        with urllib3.PoolManager(timeout=urllib3.Timeout(connect=3.0, read=5.0), retries=retries) as http:
            reply = http.request("PUT", event["ResponseURL"], body=json.dumps(body), headers={"Content-Type": ""})
    except urllib3.exceptions.HTTPError as error:
        # Its text holds the URL, and the URL is a credential.
        raise SetupError(f"the answer was not delivered: {type(error).__name__}") from None
    if reply.status >= 300:
        raise SetupError(f"the answer was not taken: status {reply.status}")
    _log.info("answered", status=status, request=event.get("RequestType"))


logs.configure("info")
