"""The same filters without Flink: raw records in, filtered records out, each exactly once.

`python -m flink_jobs.processor` runs it.
"""
