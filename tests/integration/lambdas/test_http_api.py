"""HTTP before a function: the event that it gets, and what its answer becomes."""

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.ports import free_ports
from tests.integration.lambdas.conftest import Service, sample
from tests.waiting import eventually

MB = 1024 * 1024
# A cold start on a busy machine takes longer than the client's own 5 s.
_HTTP = httpx.Client(timeout=30)
_INTERNAL = {"message": "Internal Server Error"}
_UNAVAILABLE = {"message": "Service Unavailable"}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an API before each function."""
    functions = {
        "sample": sample(),
        "hasty": sample(timeout_seconds=0.5),
        "single": sample(concurrency=1),
        "broken": {"handler": "broken.handler", "code": sample()["code"]},
    }
    ports = dict(zip([*functions, "impatient"], free_ports(5), strict=True))
    apis: dict[str, dict[str, Any]] = {name: {"port": ports[name], "function": name} for name in functions}
    apis["impatient"] = {"port": ports["impatient"], "function": "sample", "timeout_seconds": 0.5}
    service = Service(tmp_path_factory.mktemp("apis"), functions, apis, grace_seconds=0.2)
    service.ports = ports
    yield service
    service.close()
    _HTTP.close()


@pytest.fixture
def at(behind: Any) -> Any:
    """The address of an API."""
    return lambda api, path="": f"http://127.0.0.1:{behind.ports[api]}{path}"


def test_a_request_becomes_an_event_of_payload_format_2(at: Any) -> None:
    """With all fields that AWS documents (LC-162)."""
    event = _HTTP.post(
        at("sample", "/event?a=1&b=&a=2%203"),
        headers=[
            ("Content-Type", "application/json"),
            ("X-Many", "one"),
            ("x-many", "two"),
            ("Cookie", "a=1; b=2"),
            ("User-Agent", "test"),
        ],
        content=b'{"caf\xc3\xa9": 1}',
    ).json()
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "$default", "/event")
    assert event["rawQueryString"] == "a=1&b=&a=2%203"
    assert event["queryStringParameters"] == {"a": "1,2 3", "b": ""}
    assert event["cookies"] == ["a=1", "b=2"]
    headers = event["headers"]
    assert (headers["x-many"], headers["content-type"]) == ("one,two", "application/json")
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert "cookie" not in headers
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST",
        "path": "/event",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    assert (context["stage"], context["routeKey"], context["accountId"]) == ("$default", "$default", "000000000000")
    assert (event["body"], event["isBase64Encoded"]) == ('{"café": 1}', False)


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/x-www-form-urlencoded", "application/json"])
def test_a_body_that_is_no_text_comes_in_base64(at: Any, kind: str) -> None:
    """By its type, and whatever its type when it is not UTF-8 (LC-162)."""
    event = _HTTP.post(at("sample", "/event"), headers={"Content-Type": kind}, content=b"\xff\x00").json()
    assert (event["body"], event["isBase64Encoded"]) == (b64encode(b"\xff\x00").decode(), True)


def test_a_request_without_query_cookies_and_body_has_no_such_fields(at: Any) -> None:
    """As on AWS (LC-162)."""
    event = _HTTP.get(at("sample", "/event")).json()
    assert not {"queryStringParameters", "cookies", "body"} & set(event)
    assert event["rawQueryString"] == ""


def _answered(url: str, answer: Any) -> httpx.Response:
    return _HTTP.post(url, headers={"Content-Type": "application/json"}, content=json.dumps(answer))


def test_an_answer_of_format_2_is_sent_as_it_says(at: Any) -> None:
    """Status, headers, each cookie, and a body in base64 (LC-162)."""
    answer = _answered(
        at("sample", "/answer"),
        {
            "statusCode": 201,
            "headers": {"X-Made": "by hand", "content-type": "image/png", "Content-Length": "7", "X-Number": 5},
            "cookies": ["a=1; Secure", "b=2"],
            "body": b64encode(b"\x00\xff").decode(),
            "isBase64Encoded": True,
        },
    )
    assert (answer.status_code, answer.content, answer.headers["x-made"]) == (201, b"\x00\xff", "by hand")
    assert answer.headers.get_list("set-cookie") == ["a=1; Secure", "b=2"]
    assert (answer.headers["content-type"], answer.headers["x-number"]) == ("image/png", "5")
    assert answer.headers["apigw-requestid"]


@pytest.mark.parametrize(
    ("returned", "body"), [({"a": 1}, b'{"a": 1}'), ([1], b"[1]"), (None, b"null"), ("plain", b"plain")]
)
def test_an_answer_without_status_is_the_body_of_a_200(at: Any, returned: Any, body: bytes) -> None:
    """As JSON (LC-162)."""
    answer = _answered(at("sample", "/answer"), returned)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-type"] == "application/json"


def test_a_status_without_body_has_none(at: Any) -> None:
    """204 and 304, whatever the function says (LC-162)."""
    for status in (204, 304):
        answer = _answered(at("sample", "/answer"), {"statusCode": status, "body": "too much"})
        assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize(
    "returned",
    [
        {"statusCode": "many"},
        {"statusCode": 99},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "?", "isBase64Encoded": True},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"a": "b\r\nset-cookie: c"}},
        {"statusCode": 200, "headers": {"a b": "c"}},
        {"statusCode": 200, "cookies": "a=1"},
    ],
)
def test_a_malformed_answer_is_a_502(at: Any, returned: Any) -> None:
    """With a general text; the log has the reason (LC-162)."""
    answer = _answered(at("sample", "/answer"), returned)
    assert (answer.status_code, answer.json()) == (502, _INTERNAL)


def test_a_functions_error_is_a_502_and_says_nothing_of_it(at: Any, behind: Any) -> None:
    """Raised, ended in the middle, or not even started (LC-162)."""
    for answer in (
        _answered(at("sample", "/raise"), {"message": "hunter2"}),
        _answered(at("sample", "/exit"), {"code": 1}),
        _HTTP.get(at("broken")),
    ):
        assert (answer.status_code, answer.json()) == (502, _INTERNAL)
    assert {line["reason"] for line in behind.logged("api_failed")} >= {"ValueError", "Runtime.ExitError"}


def test_a_function_out_of_time_is_a_503(at: Any) -> None:
    """Its own time, or that of the API (LC-162)."""
    for api in ("hasty", "impatient"):
        answer = _answered(at(api, "/sleep"), {"until": "/never"})
        assert (answer.status_code, answer.json()) == (503, _UNAVAILABLE)


def test_a_function_that_the_api_no_longer_waits_for_goes_on(at: Any, behind: Any, tmp_path: Path) -> None:
    """As on AWS: it ends when it is done (LC-162)."""
    gate = tmp_path / "gate"
    assert _answered(at("impatient", "/sleep"), {"until": str(gate)}).status_code == 503
    ended = len(behind.logged("invocation"))
    gate.touch()
    eventually(lambda: len(behind.logged("invocation")) > ended, "the invocation ends")


def test_one_request_too_many_is_a_503(at: Any, tmp_path: Path) -> None:
    """While the only instance is busy (LC-162)."""
    began, gate = tmp_path / "began", tmp_path / "gate"
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(_answered, at("single", "/sleep"), {"began": str(began), "until": str(gate)})
        eventually(began.exists, "the first has begun")
        answer = _HTTP.get(at("single", "/event"))
        gate.touch()
        assert first.result().status_code == 200
    assert (answer.status_code, answer.json()) == (503, _UNAVAILABLE)


@pytest.mark.parametrize("size", [10 * MB + 1, 7 * MB])
def test_a_body_that_is_too_large_is_a_413(at: Any, size: int) -> None:
    """Above 10 MB for the API, above Lambda's own 6 MB for the function (LC-162)."""
    answer = _HTTP.post(at("sample", "/event"), content=b"a" * size, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()) == (413, {"message": "Request Entity Too Large"})
