"""One Aurora cluster, seen through the RDS API.

Owns the three calls and what their failures mean. It decides nothing: `auto_start` and `auto_stop` do. Names of the
states: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/accessing-monitoring.html
"""

from collections.abc import Callable
from typing import Any, Final

from functions.cluster_power.aws import told

AVAILABLE: Final = "available"
STARTING: Final = "starting"
STOPPED: Final = "stopped"

_CONFLICT: Final = "InvalidDBClusterStateFault"


class ClusterError(Exception):
    """The RDS API refused or did not answer; the text says what was asked and why it failed."""


class StateConflictError(ClusterError):
    """The cluster is in another state than the call needs: somebody was quicker, or it is in a transition."""


class Cluster:
    """Ask and switch one cluster.

    Args:
        client: Of RDS.
        cluster_id: The cluster's identifier.
    """

    def __init__(self, client: Any, cluster_id: str) -> None:
        self._client = client
        self.id = cluster_id

    def status(self) -> str:
        """Return the state, such as `available`, in AWS's own word.

        Raises:
            ClusterError: It cannot be read.
        """
        found = self._call("rds:DescribeDBClusters", self._client.describe_db_clusters)["DBClusters"]
        if not found:
            raise ClusterError(f"rds:DescribeDBClusters knows no cluster {self.id}: check AURORA_CLUSTER_ID")
        return str(found[0]["Status"])

    def start(self) -> None:
        """Begin to start the cluster; AWS takes the first of two calls and refuses the second (LC-55).

        Raises:
            StateConflictError: It is not stopped any more.
            ClusterError: Any other refusal.
        """
        self._call("rds:StartDBCluster", self._client.start_db_cluster)

    def stop(self) -> None:
        """Begin to stop the cluster.

        Raises:
            ClusterError: AWS refused.
        """
        self._call("rds:StopDBCluster", self._client.stop_db_cluster)

    def _call(self, action: str, method: Callable[..., Any]) -> Any:
        try:
            return method(DBClusterIdentifier=self.id)
        except Exception as error:
            code, text = told(error)
            kind = StateConflictError if code == _CONFLICT else ClusterError
            raise kind(f"{action} failed: {text}") from error
