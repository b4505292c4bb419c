"""The measurement of the producer: its handler in process, beside `pgbench` with the same rows."""
