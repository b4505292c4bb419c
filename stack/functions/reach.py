"""Owns how a walk reaches the parts of a running stack: the AWS SDK, functions by name, the database."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from stack.functions.credentials import REGION, Credentials
from stack.functions.walk import expect
from stack.settings import StackSettings


@dataclass(frozen=True, slots=True)
class Reach:
    """The parts of one running stack."""

    settings: StackSettings
    known: Credentials

    def sdk(self, service: str) -> Any:
        """Return AWS's client of a service, sent to where the stack has it."""
        # Every command imports this module, and few of them ask AWS.
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        return boto3.client(
            service,
            endpoint_url=self.settings.lambda_url if service == "lambda" else self.settings.aws_url,
            region_name=REGION,
            aws_access_key_id=self.known.access_key,
            aws_secret_access_key=self.known.secret_key,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=65),
        )

    def invoke(self, function: str, payload: Any) -> Any:
        """Return what a function answers.

        Raises:
            WalkError: It failed, with its error type and message.
        """
        said = self.sdk("lambda").invoke(FunctionName=function, Payload=json.dumps(payload).encode())
        answer = json.loads(said["Payload"].read())
        expect("FunctionError" not in said, f"{function} failed: {answer}")
        return answer

    def database(self, name: str | None = None) -> "psycopg.Connection[tuple[Any, ...]]":
        """Return a connection to the event database, or to another one of its server."""
        url = self.settings.database_url
        return psycopg.connect(url if name is None else f"{url.rsplit('/', 1)[0]}/{name}", autocommit=True)

    def call(self, url: str, method: str, path: str, body: Any = None) -> "httpx.Response":
        """Return the answer of an HTTP API of this stack."""
        return httpx.request(method, f"{url}{path}", json=body, timeout=40)
