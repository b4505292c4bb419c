"""The Lambda functions beside the pipeline; each folder is one system, and none knows another."""
