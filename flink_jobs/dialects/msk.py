"""Owns what the MSK dialect adds to the local one: how a client reaches Amazon MSK and proves itself with IAM (FL-54).

Amazon Managed Service for Apache Flink runs open-source Flink, so the script is that of `flink_jobs.sql`, statement by
statement. Must never write a statement of its own, or a credential: those come from the role of the application.
Facts: README of aws-msk-iam-auth (four client properties); Amazon MSK Developer Guide, "Port information".
"""

from dataclasses import replace
from typing import Final

from flink_jobs.sql import Places

SUFFIX: Final = "-msk"
PORT: Final = 9098
"""Where a broker answers IAM clients inside its VPC. From outside it is 9198, through a private link any other."""

_IAM: Final = (
    ("security.protocol", "SASL_SSL"),
    ("sasl.mechanism", "AWS_MSK_IAM"),
    ("sasl.jaas.config", "software.amazon.msk.auth.iam.IAMLoginModule required;"),
    ("sasl.client.callback.handler.class", "software.amazon.msk.auth.iam.IAMClientCallbackHandler"),
)


def msk_places(places: Places, suffix: str = SUFFIX) -> Places:
    """Return the places as the job finds them on AWS: IAM, the mark of this processor, the port where none is named."""
    brokers = (broker.strip() for broker in places.bootstrap_servers.split(","))
    servers = ",".join(broker if ":" in broker else f"{broker}:{PORT}" for broker in brokers if broker)
    return replace(places, bootstrap_servers=servers, suffix=suffix, security=_IAM)
