"""Debezium on Kafka Connect as the engine in place of our own: same slot, same publication, same topic, same record."""
