"""Owns what AWS must allow for the callbacks (LC-97), as data for whoever deploys them."""

import re
from typing import Any, Final

FEATURE: Final = "Lambda"
"""The feature of the cluster that the role is associated with."""

_ONE_FUNCTION: Final = re.compile(r"arn:aws(-[a-z]+)*:lambda:[a-z]{2}(-[a-z]+)+-\d:\d{12}:function:[a-zA-Z0-9_-]{1,64}")


def invoke_policy(function_arn: str) -> dict[str, Any]:
    """Return the policy of the cluster's role: it may invoke one function, and nothing else.

    Args:
        function_arn: Without a version or alias.

    Raises:
        ValueError: Not the ARN of exactly one function.
    """
    if not _ONE_FUNCTION.fullmatch(function_arn):
        message = f"{function_arn!r} is not the ARN of one function: arn:aws:lambda:REGION:ACCOUNT:function:NAME"
        raise ValueError(message)
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": function_arn}
    return {"Version": "2012-10-17", "Statement": [{"Sid": "InvokePostgresFunction", **statement}]}


def trust_policy() -> dict[str, Any]:
    """Return who may take the role: the database service."""
    statement = {"Effect": "Allow", "Principal": {"Service": "rds.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def database_access(database_group: str, function_group: str, port: int = 5432) -> dict[str, Any]:
    """Return the arguments of EC2's AuthorizeSecurityGroupIngress: one group may reach the database's port.

    Args:
        database_group: The id of the database's security group.
        function_group: The id of that of the functions that connect.
        port: Of the database.
    """
    pair = {"GroupId": function_group, "Description": "Lambda functions to PostgreSQL"}
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
    return {"GroupId": database_group, "IpPermissions": [permission]}
