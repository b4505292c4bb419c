"""What AWS must allow for the callbacks."""

import json
from pathlib import Path

import pytest

from callbacks.permissions import FEATURE, database_access, invoke_policy, trust_policy

ARN = "arn:aws:lambda:us-east-1:123456789012:function:PostgresFunction"
DOCS = Path(__file__).resolve().parents[3] / "docs" / "callbacks.md"


def test_the_database_may_invoke_one_function_only() -> None:
    """One statement, one action, one function, and the docs show just that (LC-97)."""
    policy = invoke_policy(ARN)
    assert [(s["Effect"], s["Action"], s["Resource"]) for s in policy["Statement"]] == [
        ("Allow", "lambda:InvokeFunction", ARN)
    ]
    assert "*" not in json.dumps(policy)
    blocks = [block.split("```")[0] for block in DOCS.read_text().split("```json\n")[1:]]
    assert policy in [json.loads(block) for block in blocks]


@pytest.mark.parametrize(
    "arn",
    ["*", "PostgresFunction", f"{ARN}*", f"{ARN}:*", f"{ARN}:7", "arn:aws:lambda:us-east-1:123456789012:function:*"],
)
def test_a_policy_for_more_than_one_function_is_refused(arn: str) -> None:
    """Neither a wildcard nor a part of an ARN gives a policy (LC-97)."""
    with pytest.raises(ValueError, match="is not the ARN of one function"):
        invoke_policy(arn)


def test_the_role_is_for_the_database_service() -> None:
    """Only the database service may take the role, for the feature `Lambda` (LC-97)."""
    assert FEATURE == "Lambda"
    (statement,) = trust_policy()["Statement"]
    assert statement["Principal"] == {"Service": "rds.amazonaws.com"}


def test_the_function_may_reach_the_database_port() -> None:
    """One port, from one security group (LC-97)."""
    access = database_access("sg-database", "sg-function")
    (permission,) = access["IpPermissions"]
    assert access["GroupId"] == "sg-database"
    assert (permission["FromPort"], permission["ToPort"], permission["IpProtocol"]) == (5432, 5432, "tcp")
    assert [pair["GroupId"] for pair in permission["UserIdGroupPairs"]] == ["sg-function"]
    assert "IpRanges" not in permission
