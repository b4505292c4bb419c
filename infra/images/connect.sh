#!/bin/sh
# Run a Kafka Connect worker with Debezium. Its settings: `cdc/debezium/worker.py`. Besides, from the environment:
# DEBEZIUM_DATABASE_PASSWORD_FILE, a file with the password; CONNECT_METRICS_PORT, where Prometheus may read.
set -eu
if [ -n "${DEBEZIUM_DATABASE_PASSWORD_FILE:-}" ]; then
  DEBEZIUM_DATABASE_PASSWORD=$(cat "$DEBEZIUM_DATABASE_PASSWORD_FILE")
  export DEBEZIUM_DATABASE_PASSWORD
fi
if [ -n "${CONNECT_METRICS_PORT:-}" ]; then
  set -- "-javaagent:$(echo /opt/archives/jmx-exporter/*.jar)=$CONNECT_METRICS_PORT:/opt/connect-jmx.yml"
fi
python -m cdc.debezium worker > /tmp/worker.properties
logging=$(python -c 'import cdc.debezium as it; print(it.__path__[0])')/log4j.properties
exec "$JAVA_HOME/bin/java" -XX:+UseSerialGC -Djava.awt.headless=true -Xms64m -Xmx256m \
  "-Dlog4j2.configurationFile=file:$logging" "$@" \
  -cp '/opt/archives/connect-debezium/*' org.apache.kafka.connect.cli.ConnectDistributed /tmp/worker.properties
