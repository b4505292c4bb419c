#!/bin/sh
# Run a Kafka Connect worker with Debezium. Its settings: `cdc/debezium/worker.py`; the password comes from a file.
set -eu
if [ -n "${DEBEZIUM_DATABASE_PASSWORD_FILE:-}" ]; then
  DEBEZIUM_DATABASE_PASSWORD=$(cat "$DEBEZIUM_DATABASE_PASSWORD_FILE")
  export DEBEZIUM_DATABASE_PASSWORD
fi
python -m cdc.debezium worker > /tmp/worker.properties
exec "$JAVA_HOME/bin/java" -XX:+UseSerialGC -Djava.awt.headless=true -Xms64m -Xmx256m ${CONNECT_JAVA_OPTIONS:-} \
  "-Dlog4j2.configurationFile=file:$(python -c 'import cdc.debezium as it; print(it.__path__[0])')/log4j.properties" \
  -cp '/opt/archives/*' org.apache.kafka.connect.cli.ConnectDistributed /tmp/worker.properties
