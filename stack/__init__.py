"""The `headwater` command and the local stack it runs: real PostgreSQL, Kafka and Flink as supervised processes."""
