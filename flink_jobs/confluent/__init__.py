"""Owns the deployment to Confluent Cloud for Apache Flink: its REST interface, its schema registry, the order of it.

The SQL is that of `flink_jobs.dialects.confluent`. Nothing of this was run against the service, for want of an account;
a stand-in that speaks the documented routes is what the tests talk to (docs/dialects.md).
"""
