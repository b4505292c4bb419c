"""A function in the place of auto-start: it says what its environment tells it, or does worse."""

import json
import os
import threading


def handler(event, _context):
    """Answer with the state in `SAYS`, or fail in the way that it names."""
    says = os.environ["SAYS"]
    if says == "raises":
        raise RuntimeError("no cluster today")
    if says == "hangs":
        threading.Event().wait(20)
    if says == "nonsense":
        return "starting"
    if says == "failure":
        return {"statusCode": 500, "body": json.dumps({"error": "denied", "status": "starting"})}
    return {"statusCode": 200, "body": json.dumps({"message": "", "status": says, "cluster_id": "cars"})}
