#!/bin/bash
# Runs the registry; every setting of its own is an environment variable that it reads by itself.
set -euo pipefail
# Options are lists of words.
# shellcheck disable=SC2086
exec java -XX:+UseSerialGC -Djava.util.logging.manager=org.jboss.logmanager.LogManager ${JAVA_OPTS:-} \
  ${JAVA_OPTS_APPEND:-} -jar /deployments/quarkus-run.jar "$@"
