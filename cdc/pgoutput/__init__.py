"""The logical replication protocol of PostgreSQL's pgoutput plug-in: bytes in, messages out, no I/O.

Source of facts: PostgreSQL manual, "Logical Replication Message Formats" and "Streaming Replication Protocol".
"""
