"""SQL that was written for Aurora's extension runs here as it is."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.integration.callbacks.bridges import Bridge
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("bridge")

ARGUMENTS = """
SELECT pg_get_function_arguments(oid) FROM pg_proc
WHERE pronamespace = 'aws_lambda'::regnamespace AND proname = 'invoke' ORDER BY 1
"""


def row(session: psycopg.Connection, query: str, *values: Any) -> tuple[Any, ...]:
    """Return the one row of a query."""
    found = session.execute(query.encode(), values).fetchone()
    assert found is not None
    return tuple(found)


def _arguments(name: str, kind: str, region: str = "") -> str:
    return (
        f"function_name {name}, payload {kind}, {region}invocation_type text DEFAULT 'RequestResponse'::text,"
        f" log_type text DEFAULT 'None'::text, context {kind} DEFAULT NULL::{kind},"
        " qualifier character varying DEFAULT NULL::character varying, OUT status_code integer,"
        f" OUT payload {kind}, OUT executed_version text, OUT log_result text"
    )


def test_the_signatures_are_those_of_aws(session: psycopg.Connection) -> None:
    """Four forms of `invoke`, with names, order, defaults and result of AWS's documentation (LC-91, LC-98)."""
    found = [arguments for (arguments,) in session.execute(ARGUMENTS)]
    regioned = "region text DEFAULT NULL::text, "
    assert found == sorted(
        [
            _arguments("text", "json", regioned),
            _arguments("text", "jsonb", regioned),
            _arguments("aws_commons._lambda_function_arn_1", "json"),
            _arguments("aws_commons._lambda_function_arn_1", "jsonb"),
        ]
    )


FORMS = [
    ("my-function", None, None),
    ("my-function", "eu-west-1", "eu-west-1"),
    ("my-function:live", None, None),
    ("123456789012:function:my-function", "us-east-1", "us-east-1"),
    ("arn:aws:lambda:us-west-1:444455556666:function:simple", None, "us-west-1"),
    ("arn:aws:lambda:us-west-1:444455556666:function:simple:$LATEST", "us-west-1", "us-west-1"),
    ("arn:aws-us-gov:lambda:us-gov-west-1:444455556666:function:simple", None, "us-gov-west-1"),
]


@pytest.mark.parametrize(("name", "region", "wanted"), FORMS)
def test_a_function_is_named_in_every_form(
    session: psycopg.Connection, name: str, region: str | None, wanted: str | None
) -> None:
    """`create_lambda_function_arn` takes a name, a partial or a full ARN, and a region or none (LC-98a, LC-91)."""
    query = "SELECT (f).function_name, (f).region FROM aws_commons.create_lambda_function_arn(%s, %s) AS f"
    assert row(session, query, name, region) == (name, wanted)


@pytest.mark.parametrize(
    ("name", "region", "told"),
    [
        ("x'; DROP TABLE t; --", None, "not the name"),
        ("../../health", None, "not the name"),
        (None, None, "not the name"),
        ("simple", "us-east-1' OR true", "not an AWS region"),
        ("arn:aws:lambda:us-west-1:444455556666:function:simple", "us-east-1", "conflicts"),
    ],
)
def test_what_is_no_name_is_refused(
    session: psycopg.Connection, name: str | None, region: str | None, told: str
) -> None:
    """A name or region is data, never SQL or a path, and one that cannot be is a clear error (LC-96)."""
    for query in (
        "SELECT aws_commons.create_lambda_function_arn(%s, %s)",
        "SELECT aws_lambda.invoke(%s::text, '{}'::json, %s)",
    ):
        with pytest.raises(errors.InvalidParameterValue, match=told):
            session.execute(query.encode(), (name, region))


@pytest.mark.parametrize("kind", ["json", "jsonb"])
@pytest.mark.parametrize(
    "function",
    [
        "aws_commons.create_lambda_function_arn('callee', 'us-east-1'), {}",
        "aws_commons.create_lambda_function_arn('arn:aws:lambda:us-east-1:000000000000:function:callee'), {}",
        "'callee', {}",
        "'000000000000:function:callee', {}, 'us-east-1', 'RequestResponse'",
    ],
)
def test_the_payload_comes_back_in_its_own_type(session: psycopg.Connection, function: str, kind: str) -> None:
    """A synchronous call returns status, payload, version and no log, json for json, jsonb for jsonb (LC-90, LC-98)."""
    query = "SELECT *, pg_typeof(payload)::text FROM aws_lambda.invoke({})".format(function.format(f"%s::{kind}"))  # noqa: S608
    event = {"name": 'Größe "x"\n', "list": [1, None, True]}
    assert row(session, query, json.dumps(event)) == (200, event, "$LATEST", None, kind)


def test_numbers_and_null_come_back_exact(session: psycopg.Connection) -> None:
    """Nobody on the way reads a payload as other than text: large integers and null stay what they are (LC-98)."""
    query = "SELECT payload ->> 'n', payload -> 'none' FROM aws_lambda.invoke('callee', %s::jsonb)"
    text = '{"n": 12345678901234567890123, "none": null}'
    assert row(session, query, text) == ("12345678901234567890123", None)
    assert row(session, "SELECT payload::text FROM aws_lambda.invoke('callee', 'null'::json)") == ("null",)


def test_an_event_is_accepted_and_a_dry_run_runs_nothing(session: psycopg.Connection, tmp_path: Path) -> None:
    """`Event` gives 202 and null at once, and the function runs; `DryRun` gives 204 and it does not (LC-98a)."""
    query = "SELECT status_code, payload FROM aws_lambda.invoke('callee', %s::json, NULL, %s)"
    dry, wet = tmp_path / "dry", tmp_path / "wet"
    assert row(session, query, json.dumps({"do": "note", "file": str(dry)}), "DryRun") == (204, None)
    assert row(session, query, json.dumps({"do": "note", "file": str(wet)}), "Event") == (202, None)
    eventually(wet.exists, "the function has run")
    assert not dry.exists()


def test_log_context_and_qualifier_reach_the_function(session: psycopg.Connection) -> None:
    """The last four arguments do what AWS says, by position (LC-98)."""
    query = """SELECT payload, convert_from(decode(log_result, 'base64'), 'UTF8') FROM aws_lambda.invoke(
        'callee', '{"do": "told"}'::jsonb, 'us-east-1', 'RequestResponse', 'Tail', '{"custom": {"who": "é"}}', 'live'
    )"""
    payload, log = row(session, query)
    assert payload["context"] == {"who": "é"}
    assert payload["arn"].endswith(":callee")
    assert "REPORT RequestId" in log


def test_an_error_of_the_function_is_an_error_of_sql(session: psycopg.Connection) -> None:
    """It has the function's error type and message, in the words of AWS (LC-90)."""
    with pytest.raises(errors.ExternalRoutineException, match="lambda invocation failed") as raised:
        session.execute("""SELECT aws_lambda.invoke('callee', '{"do": "raise", "message": "no car 7"}'::json)""")
    assert raised.value.diag.message_detail == ('"callee" returned error "Unhandled", details: "LookupError: no car 7"')


def test_a_function_that_is_not_there_is_named(session: psycopg.Connection) -> None:
    """What the Lambda service refuses is an error with its words (LC-91)."""
    with pytest.raises(errors.SystemError, match="invoke API failed") as raised:
        session.execute("SELECT aws_lambda.invoke('nobody', '{}'::json)")
    assert "Function not found" in str(raised.value.diag.message_detail)


@pytest.mark.parametrize("given", ["'Later', 'None'", "NULL, 'None'", "'Event', 'All'", "'event', 'None'"])
def test_a_wrong_kind_of_call_is_refused(session: psycopg.Connection, given: str) -> None:
    """Invocation and log type are case-sensitive, and the error names the right ones (LC-98)."""
    with pytest.raises(errors.InvalidParameterValue) as raised:
        session.execute(f"SELECT aws_lambda.invoke('callee', '{{}}'::json, NULL, {given})".encode())
    assert str(raised.value.diag.message_hint).startswith("Give ")


def test_payloads_up_to_six_megabytes_pass(session: psycopg.Connection) -> None:
    """The largest request and a response of that size come through; one byte more is refused (LC-98)."""
    session.execute("SET aws_lambda.request_timeout_ms = 20000")
    largest = json.dumps("x" * (6 * 1024 * 1024 - 2))
    query = "SELECT length(payload #>> '{}') FROM aws_lambda.invoke('callee', %s::json)"
    assert row(session, query, '{"do": "text", "length": 6000000}') == (6_000_000,)
    assert row(session, query, largest)[0] == len(largest) - 2
    with pytest.raises(errors.ProgramLimitExceeded, match="6291457 bytes"):
        session.execute(query.encode(), (largest + " ",))


def test_a_call_works_inside_any_transaction_of_read_committed(session: psycopg.Connection) -> None:
    """Also in one that reads only, after a write that is not committed, and after a savepoint rolled back (LC-90)."""
    query = "SELECT payload FROM aws_lambda.invoke('callee', '1'::jsonb)"
    with session.transaction(force_rollback=True):
        session.execute("SET TRANSACTION READ ONLY")
        assert row(session, query) == (1,)
    with session.transaction(force_rollback=True):
        session.execute("CREATE TABLE t ()")
        with session.transaction(force_rollback=True):
            assert row(session, query) == (1,)
        assert row(session, query) == (1,)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_that_stays_is_refused_with_the_reason(session: psycopg.Connection, level: str) -> None:
    """Such a transaction would never see the answer, and is told before anything is sent (LC-98)."""
    session.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
    with pytest.raises(errors.FeatureNotSupported, match=level.lower()):
        session.execute("SELECT aws_lambda.invoke('callee', '1'::json)")


@pytest.mark.parametrize("value", ["0", "900001", "soon"])
def test_a_timeout_out_of_range_is_refused(session: psycopg.Connection, value: str) -> None:
    """The parameters of AWS have its range, 1 to 900,000 ms (LC-98)."""
    session.execute("SELECT set_config('aws_lambda.request_timeout_ms', %s, false)", (value,))
    with pytest.raises(errors.InvalidParameterValue, match="request_timeout_ms"):
        session.execute("SELECT aws_lambda.invoke('callee', '1'::json)")


def test_a_call_ends_with_its_timeout(session: psycopg.Connection) -> None:
    """A function that takes longer is an error that names it and the parameter, not a wait (LC-98)."""
    session.execute("SET aws_lambda.request_timeout_ms = 200")
    with pytest.raises(errors.SystemError) as raised:
        session.execute("""SELECT aws_lambda.invoke('callee', '{"do": "nap", "seconds": 1, "number": 1}'::json)""")
    assert raised.value.diag.message_detail == "Timeout was reached: no answer of callee within 200 ms."
    assert "aws_lambda.request_timeout_ms" in str(raised.value.diag.message_hint)


def test_a_role_needs_the_grants_of_aws_and_gets_no_more(session: psycopg.Connection, bridge: Bridge) -> None:
    """With the two grants of AWS's manual it calls; it reads no answer, writes none, and is no bridge (LC-98)."""
    session.execute("CREATE ROLE caller")
    try:
        session.execute("SET ROLE caller")
        with pytest.raises(errors.InsufficientPrivilege):
            session.execute("SELECT aws_lambda.invoke('callee', '1'::json)")
        session.execute("RESET ROLE")
        session.execute("GRANT USAGE ON SCHEMA aws_lambda TO caller")
        with pytest.raises(errors.InsufficientPrivilege, match="invoke"):
            session.execute("SET ROLE caller; SELECT aws_lambda.invoke('callee', '1'::json)")
        session.execute("RESET ROLE; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aws_lambda TO caller; SET ROLE caller")
        arn = "SELECT (aws_lambda.invoke(aws_commons.create_lambda_function_arn('callee'), '1'::jsonb)).payload"
        assert row(session, arn) == (1,)
        for query in (
            "SELECT * FROM aws_lambda._answer",
            "INSERT INTO aws_lambda._answer (id, expires) VALUES (gen_random_uuid(), now())",
            "DELETE FROM aws_lambda._bridge",
            "SELECT aws_lambda._invoke('callee', NULL, '1', 'Event', 'None', NULL, NULL)",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                session.execute(query.encode())
    finally:
        session.execute("RESET ROLE; DROP OWNED BY caller; DROP ROLE caller")
