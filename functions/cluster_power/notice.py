"""An e-mail after a stop, through an SNS topic (LC-69).

Owns the text. A notice that cannot be sent is logged and changes nothing: the cluster is stopped already.
"""

from datetime import UTC, datetime
from typing import Any

import structlog

from functions.cluster_power.aws import told

_log = structlog.get_logger()


class Notice:
    """Tell the subscribers of one topic.

    Args:
        client: Of SNS.
        topic: The topic's ARN.
    """

    def __init__(self, client: Any, topic: str) -> None:
        self._client = client
        self._topic = topic

    def send(self, cluster_id: str, reason: str) -> None:
        """Send cluster, time, reason and region; never raises."""
        region = self._client.meta.region_name
        lines = (
            f"Cluster: {cluster_id}",
            f"Time: {datetime.now(UTC).isoformat(timespec='seconds')}",
            f"Reason: {reason}",
            f"Region: {region}",
        )
        try:
            # AWS takes 100 characters of subject.
            subject = f"Aurora cluster stopped: {cluster_id}"[:100]
            self._client.publish(TopicArn=self._topic, Subject=subject, Message="\n".join(lines))
        except Exception as error:  # noqa: BLE001 - the stop counts, not its notice
            _log.warning("notice_not_sent", cluster_id=cluster_id, error=told(error)[1])
