"""Both payload formats of an HTTP API become the same request, whatever they hold (EV-3, EV-4)."""

from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.answers import Answer
from producer.lambda_handler import read_request, write_answer
from producer.refusals import NotJsonError


class Context:
    """A Lambda context with ten seconds left."""

    aws_request_id = "from-context"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left."""
        return 10_000


def _v2(**more: Any) -> dict[str, Any]:
    http = {"method": "POST", "path": "/api/v1/events"}
    about = {"http": http, "requestId": "r-1", "stage": "$default"}
    return {"version": "2.0", "requestContext": about, "body": "{}", "isBase64Encoded": False, **more}


V1 = {
    "httpMethod": "post",
    "path": "/api/v1/events",
    "requestContext": {"requestId": "r-1", "stage": "prod"},
    "body": "{}",
}


@pytest.mark.parametrize("event", [_v2(), V1], ids=["2.0", "1.0"])
def test_method_path_body_and_request_id_are_read(event: dict[str, Any]) -> None:
    """The same request from both formats; two seconds are kept for the answer (EV-3, EV-4)."""
    request = read_request(event, Context(), seconds=99)
    assert (request.method, request.path, request.body, request.request_id) == ("POST", "/api/v1/events", b"{}", "r-1")
    assert request.seconds == 8.0


def test_the_request_id_falls_back_to_the_context_and_then_to_a_new_one() -> None:
    """Never empty (EV-3)."""
    event = {"requestContext": {"http": {"method": "GET", "path": "/"}}}
    assert read_request(event, Context(), 1).request_id == "from-context"
    assert len(read_request(event, None, 1).request_id) == 36


def test_a_named_stage_is_no_part_of_the_path() -> None:
    """Format 2.0 puts the stage before the path; a path that only looks like it stays (EV-3)."""
    about = {"http": {"method": "GET", "path": "/prod/api/v1/events/health"}, "stage": "prod"}
    assert read_request({"requestContext": about}, None, 1).path == "/api/v1/events/health"
    about["http"] = {"method": "GET", "path": "/production"}
    assert read_request({"requestContext": about}, None, 1).path == "/production"


@pytest.mark.parametrize("body", [b"{}", "é".encode(), b"\xff\x00"])
def test_a_base64_body_is_decoded(body: bytes) -> None:
    """Whatever bytes it holds (EV-4)."""
    event = _v2(body=b64encode(body).decode(), isBase64Encoded=True)
    assert read_request(event, None, 1).body == body


@pytest.mark.parametrize(
    "event", [_v2(body="not base64!", isBase64Encoded=True), _v2(body={"a": 1}), _v2(body="\ud800")]
)
def test_a_body_that_cannot_be_bytes_is_not_json(event: dict[str, Any]) -> None:
    """Wrong base64, a parsed object, a lone surrogate (EV-4, EV-19)."""
    with pytest.raises(NotJsonError):
        read_request(event, None, 1)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None, categories=None)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["requestContext", "http", "method", "path", "body", "stage"]), inner)
    ),
    max_leaves=8,
)


@given(_ANY)
def test_any_event_is_either_a_request_or_not_json(event: object) -> None:
    """Nothing that a caller can invoke the function with makes it raise otherwise (EV-8)."""
    with suppress(NotJsonError):
        assert isinstance(read_request(event, None, 1).body, bytes)


def test_an_answer_becomes_lambda_output_with_all_headers() -> None:
    """Status, four headers, JSON text; Retry-After where there is one (EV-5, EV-6)."""
    headers = {
        "Content-Type": "application/json",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": "Content-Type, Authorization",
    }
    assert write_answer(Answer(200, b"{}")) == {"statusCode": 200, "headers": headers, "body": "{}"}
    assert write_answer(Answer(503, b"{}", 60))["headers"] == {**headers, "Retry-After": "60"}
