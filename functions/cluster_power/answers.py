"""What the functions answer, in the shape of an API Gateway proxy (LC-51 to LC-54)."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call has come to."""

    status_code: int
    members: dict[str, str]
    switched: bool = False
    """Whether AWS took the order to start or to stop the cluster."""

    @property
    def failed(self) -> bool:
        """Tell whether the call must be looked at."""
        return self.status_code >= 500

    def answer(self) -> dict[str, Any]:
        """Return the Lambda output; its body is JSON text."""
        return {"statusCode": self.status_code, "body": json.dumps(self.members)}


def failure(cluster_id: str, error: Exception) -> Outcome:
    """Return the outcome of a call that AWS refused."""
    return Outcome(500, {"error": str(error), "cluster_id": cluster_id})
