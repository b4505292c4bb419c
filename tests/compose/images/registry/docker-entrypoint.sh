#!/bin/bash
# Runs the registry; every setting of its own is an environment variable that it reads by itself.
set -euo pipefail
# In the public image this one replaces a default that lets it listen beyond the container.
if [[ -n "${JAVA_OPTIONS:-}" ]]; then
  echo "$0: JAVA_OPTIONS is not imitated; use JAVA_OPTS_APPEND" >&2
  exit 1
fi
# Options are lists of words.
# shellcheck disable=SC2086
exec java -XX:+UseSerialGC -Djava.util.logging.manager=org.jboss.logmanager.LogManager ${JAVA_OPTS:-} \
  ${JAVA_OPTS_APPEND:-} -jar /deployments/quarkus-run.jar "$@"
