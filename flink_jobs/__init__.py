"""flink_jobs."""
