"""Owns the errors of the Invoke API and of an invocation, as AWS words them. Must never know how a function runs."""

import json
from dataclasses import dataclass
from typing import Any, Final

SYNC_BYTES: Final = 6 * 1024 * 1024
"""The largest request of a synchronous invocation (AWS Lambda quotas)."""

EVENT_BYTES: Final = 1024 * 1024
"""The largest request of an asynchronous one: 256 KB until October 2025, 1 MB since."""

RESPONSE_BYTES: Final = 6_291_556
"""The largest response of a function."""


class ApiError(Exception):
    """A call that the service refuses: its HTTP status, the name of the exception in the SDK, the body."""

    def __init__(self, status: int, name: str, body: dict[str, Any]) -> None:
        super().__init__(f"{name}: {body}")
        self.status = status
        self.name = name
        self.body = body


def not_found(arn: str) -> ApiError:
    """Return the refusal of a function that the registry does not have."""
    message = f"Function not found: {arn}"
    return ApiError(404, "ResourceNotFoundException", {"Type": "User", "Message": message})


def invalid_parameter(message: str) -> ApiError:
    """Return the refusal of a name, a qualifier or a header that cannot be read."""
    return ApiError(400, "InvalidParameterValueException", {"Type": "User", "message": message})


def invalid_content(reason: str) -> ApiError:
    """Return the refusal of a payload that is not JSON."""
    message = f"Could not parse request body into json: {reason}"
    return ApiError(400, "InvalidRequestContentException", {"Type": "User", "message": message})


def too_large(limit: int) -> ApiError:
    """Return the refusal of a payload of more than `limit` bytes."""
    message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    return ApiError(413, "RequestTooLargeException", {"Type": "User", "message": message})


def throttled(reason: str) -> ApiError:
    """Return the refusal of one invocation too many; `reason` is a ThrottleReason of the API."""
    return ApiError(429, "TooManyRequestsException", {"Reason": reason, "Type": "User", "message": "Rate Exceeded."})


def service_error(message: str) -> ApiError:
    """Return what the caller gets when the service itself fails."""
    return ApiError(500, "ServiceException", {"Type": "Service", "Message": message})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended: what goes to the caller, and the error type when it failed."""

    body: bytes
    error: str = ""


def failure(error: str, message: str) -> Outcome:
    """Return the outcome of an invocation that the service ends, in the shape of a function's own error."""
    return Outcome(json.dumps({"errorType": error, "errorMessage": message}).encode(), error)


def timed_out(request_id: str, seconds: float) -> Outcome:
    """Return the outcome of a function that used up its time."""
    return failure("Sandbox.Timedout", f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds")


def exited(request_id: str, code: int) -> Outcome:
    """Return the outcome of a process that ended in the middle; a negative code is a signal."""
    if code == 0:
        return failure("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited without providing a reason")
    why = f"signal: {_SIGNALS.get(-code, f'signal {-code}')}" if code < 0 else f"exit status {code}"
    return failure("Runtime.ExitError", f"RequestId: {request_id} Error: Runtime exited with error: {why}")


def out_of_memory(request_id: str) -> Outcome:
    """Return the outcome of a function that outgrew its memory size."""
    return failure("Runtime.OutOfMemory", f"RequestId: {request_id} Error: Runtime exited with error: signal: killed")


def response_too_large(length: int) -> Outcome:
    """Return the outcome of a function whose response of `length` bytes is too long to hand on."""
    message = f"Response payload size ({length} bytes) exceeded maximum allowed payload size ({RESPONSE_BYTES} bytes)."
    return failure("Function.ResponseSizeTooLarge", message)


# The words of Go's os package, whose text AWS shows.
_SIGNALS: Final = {6: "aborted", 9: "killed", 11: "segmentation fault", 15: "terminated"}
