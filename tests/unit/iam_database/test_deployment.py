"""What is handed to whatever deploys the two functions."""

import importlib

import pytest

from database import TlsSettings
from functions.iam_database.deployment import (
    DATABASE,
    INITIALIZER,
    QUERY,
    SCHEDULE,
    FunctionPlan,
    initializer_policy,
    query_policy,
)
from functions.iam_database.settings import InitializerSettings, PlaceSettings, QuerySettings


def test_the_query_runs_daily_at_four_utc() -> None:
    """EventBridge's fields are minute, hour, day, month, weekday and year, in UTC (LC-107)."""
    assert SCHEDULE.startswith("cron(")
    assert SCHEDULE[5:-1].split() == ["0", "4", "*", "*", "?", "*"]


def test_the_functions_are_as_large_and_as_hidden_as_asked() -> None:
    """Python 3.12, arm64, five minutes; the database isolated, without public access or bastion (LC-110)."""
    for plan in (INITIALIZER, QUERY):
        assert (plan.runtime, plan.architecture, plan.timeout) == ("python3.12", "arm64", 300)
    assert INITIALIZER.subnets == "private-with-egress"
    assert QUERY.subnets == DATABASE.subnets == "isolated"
    assert DATABASE.iam_authentication
    assert not DATABASE.publicly_accessible
    assert not DATABASE.bastion


@pytest.mark.parametrize(("plan", "settings"), [(INITIALIZER, InitializerSettings), (QUERY, QuerySettings)])
def test_handlers_and_variables_are_those_of_the_code(plan: FunctionPlan, settings: type[PlaceSettings]) -> None:
    """Each handler can be called, and each variable is read (LC-108)."""
    module, _, name = plan.handler.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
    read = {field.upper() for field in (*settings.model_fields, *TlsSettings.model_fields)}
    assert set(plan.variables) <= read


def test_the_query_function_may_log_in_as_one_role_and_nothing_else() -> None:
    """One action on one role of one cluster (LC-10, LC-100)."""
    (statement,) = query_policy("eu-central-1", "123456789012", "cluster-ABC", "iam_query")["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": ["rds-db:connect"],
        "Resource": ["arn:aws:rds-db:eu-central-1:123456789012:dbuser:cluster-ABC/iam_query"],
    }


@pytest.mark.parametrize(
    "parts", [("eu-central-1", "1", "*", "u"), ("eu-central-1", "1", "c", ""), ("", "1", "c", "u")]
)
def test_a_policy_without_limits_is_refused(parts: tuple[str, str, str, str]) -> None:
    """A wildcard would let the function log in as any role, the master user's too (LC-10)."""
    with pytest.raises(ValueError, match="without wildcards"):
        query_policy(*parts)


def test_the_initializer_may_read_one_secret() -> None:
    """Nothing but the master user's (LC-109)."""
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:master-AbCdEf"
    (statement,) = initializer_policy(arn)["Statement"]
    assert (statement["Action"], statement["Resource"]) == (["secretsmanager:GetSecretValue"], [arn])
    with pytest.raises(ValueError, match="full ARN"):
        initializer_policy("arn:aws:secretsmanager:eu-central-1:123456789012:secret:*")
