#!/bin/bash
# What compose needs of the public image's entrypoint: a Connect worker whose properties come from variables.
set -euo pipefail

fail() {
  echo "$0: $*" >&2
  exit 1
}

[[ "${1:-}" == start ]] || exec "$@"

for name in ENABLE_APICURIO_CONVERTERS ENABLE_DEBEZIUM_SCRIPTING ENABLE_OTEL ENABLE_JOLOKIA ENABLE_JMX_EXPORTER ENABLE_JFR; do
  [[ "${!name:-false}" == false ]] || fail "$name is not imitated"
done
for name in APICURIO_REGISTRY JMXPORT "${!CONNECT_LOG4J@}"; do
  [[ -z "${!name:-}" ]] || fail "$name is not imitated"
done
for name in CONFIG_STORAGE_TOPIC OFFSET_STORAGE_TOPIC; do
  [[ -n "${!name:-}" ]] || fail "$name is not set"
done

# Variables with names and defaults of their own, among them a flush every minute instead of Kafka's ten seconds.
address=$(hostname -i | cut -d' ' -f1)
export CONNECT_BOOTSTRAP_SERVERS=${BOOTSTRAP_SERVERS:-0.0.0.0:9092}
export CONNECT_REST_HOST_NAME=${REST_HOST_NAME:-${HOST_NAME:-$address}}
export CONNECT_REST_PORT=${REST_PORT:-8083}
export CONNECT_REST_ADVERTISED_HOST_NAME=${ADVERTISED_HOST_NAME:-${HOST_NAME:-$address}}
export CONNECT_REST_ADVERTISED_PORT=${ADVERTISED_PORT:-8083}
export CONNECT_GROUP_ID=${GROUP_ID:-1}
export CONNECT_CONFIG_STORAGE_TOPIC=$CONFIG_STORAGE_TOPIC
export CONNECT_OFFSET_STORAGE_TOPIC=$OFFSET_STORAGE_TOPIC
[[ -z "${STATUS_STORAGE_TOPIC:-}" ]] || export CONNECT_STATUS_STORAGE_TOPIC=$STATUS_STORAGE_TOPIC
export CONNECT_KEY_CONVERTER=${KEY_CONVERTER:-org.apache.kafka.connect.json.JsonConverter}
export CONNECT_VALUE_CONVERTER=${VALUE_CONVERTER:-org.apache.kafka.connect.json.JsonConverter}
export CONNECT_OFFSET_FLUSH_INTERVAL_MS=${OFFSET_FLUSH_INTERVAL_MS:-60000}
export CONNECT_OFFSET_FLUSH_TIMEOUT_MS=${OFFSET_FLUSH_TIMEOUT_MS:-5000}
export CONNECT_TASK_SHUTDOWN_GRACEFUL_TIMEOUT_MS=${SHUTDOWN_TIMEOUT:-10000}

properties=$KAFKA_HOME/config/connect-distributed.properties
cp "$KAFKA_HOME"/config.orig/* "$KAFKA_HOME/config/"
for name in "${!CONNECT_@}"; do
  # CONNECT_SOME_NAME is some.name: every underscore is a dot, so no property with an underscore or capital can be set.
  property=$(tr '[:upper:]_' '[:lower:].' <<< "${name#CONNECT_}")
  value=${!name}
  # The public entrypoint reads `env` by lines and replaces by `sed s@…@`: there, such a value would be mangled.
  [[ "$value" != *$'\n'* && "$value" != *@* ]] || fail "$name has an '@' or a line break, which the public image mangles"
  sed -i "/^${property//./\\.}=/d" "$properties"
  printf '%s=%s\n' "$property" "$value" >> "$properties"
  # The public image hides the value of a dozen variables by their full names, and prints every other one.
  case "$name" in
    CONNECT_SASL_JAAS_CONFIG | CONNECT_SSL_*_PASSWORD) value=[hidden] ;;
    CONNECT_CONSUMER_SASL_JAAS_CONFIG | CONNECT_CONSUMER_SSL_*_PASSWORD) value=[hidden] ;;
    CONNECT_PRODUCER_SASL_JAAS_CONFIG | CONNECT_PRODUCER_SSL_*_PASSWORD) value=[hidden] ;;
  esac
  [[ "${SENSITIVE_PROPERTIES:-}" != *"$name"* ]] || value=[hidden]
  echo "--- Setting property from $name: $property=$value"
done

# Options are lists of words.
# shellcheck disable=SC2086
exec java ${HEAP_OPTS:-${KAFKA_HEAP_OPTS:--Xms256M -Xmx2G}} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseSerialGC} \
  -Djava.awt.headless=true "-Dlog4j2.configurationFile=$KAFKA_HOME/config/log4j2.properties" ${KAFKA_OPTS:-} \
  -cp "$KAFKA_HOME/libs/*" org.apache.kafka.connect.cli.ConnectDistributed "$properties"
