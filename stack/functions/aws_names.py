"""Owns what is called how in the AWS of the local stack, for `aws`, which makes it, and for whoever asks it."""

from typing import Final

CLUSTER: Final = "headwater"
"""The Aurora cluster that stands for the local PostgreSQL."""

SECRET: Final = "headwater/database"  # noqa: S105 - its name
API_SECRET: Final = "headwater/serverless-api"  # noqa: S105 - its name
"""The same with a database's name, as RDS stores it for one database."""

API_DATABASE: Final = "serverless_api"

API: Final = "headwater-api"
"""The HTTP API whose requests keep the cluster running."""
IDLE_API: Final = "idle-api"
"""One that nobody asks for anything."""
