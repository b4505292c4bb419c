"""The words of errors, which callers and the SQL callbacks read."""

import json

import pytest

from stack.lambdas import faults


@pytest.mark.parametrize(
    ("outcome", "error", "message"),
    [
        (faults.timed_out("1", 3), "Sandbox.Timedout", "RequestId: 1 Error: Task timed out after 3.00 seconds"),
        (
            faults.exited("1", 2),
            "Runtime.ExitError",
            "RequestId: 1 Error: Runtime exited with error: exit status 2",
        ),
        (
            faults.exited("1", 0),
            "Runtime.ExitError",
            "RequestId: 1 Error: Runtime exited without providing a reason",
        ),
        (
            faults.exited("1", -11),
            "Runtime.ExitError",
            "RequestId: 1 Error: Runtime exited with error: signal: segmentation fault",
        ),
        (
            faults.out_of_memory("1"),
            "Runtime.OutOfMemory",
            "RequestId: 1 Error: Runtime exited with error: signal: killed",
        ),
        (
            faults.response_too_large(7_000_000),
            "Function.ResponseSizeTooLarge",
            "Response payload size (7000000 bytes) exceeded maximum allowed payload size (6291556 bytes).",
        ),
    ],
)
def test_an_error_of_the_service_looks_like_a_functions_own(outcome: faults.Outcome, error: str, message: str) -> None:
    """Type and message, in the body and in the outcome."""
    assert json.loads(outcome.body) == {"errorType": error, "errorMessage": message}
    assert outcome.error == error
