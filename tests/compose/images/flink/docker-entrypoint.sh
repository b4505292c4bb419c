#!/bin/bash
# What compose needs of the public image's entrypoint: configuration from variables, then one process of a session
# cluster in the foreground, never as root.
set -euo pipefail

fail() {
  echo "$0: $*" >&2
  exit 1
}

case "${1:-}" in
  jobmanager | taskmanager) program="$FLINK_HOME/bin/$1.sh" ;;
  help | standalone-job | history-server) fail "$1 is not imitated; give jobmanager or taskmanager" ;;
  *) exec "$@" ;;
esac
[[ -z "${ENABLE_BUILT_IN_PLUGINS:-}" ]] || fail "ENABLE_BUILT_IN_PLUGINS is not imitated"
if [[ "$(id -u)" == 0 ]]; then
  exec setpriv --reuid=flink --regid=flink --init-groups -- "$0" "$@"
fi

options=(
  "-Djobmanager.rpc.address=${JOB_MANAGER_RPC_ADDRESS:-$(hostname -f)}"
  -Dblob.server.port=6124
  -Dquery.server.port=6125
)
[[ -z "${TASK_MANAGER_NUMBER_OF_TASK_SLOTS:-}" ]] \
  || options+=("-Dtaskmanager.numberOfTaskSlots=$TASK_MANAGER_NUMBER_OF_TASK_SLOTS")
while IFS=: read -r key value; do
  # Blanks around name and value do not count, as with the public image.
  read -r key <<< "$key"
  read -r value <<< "$value"
  [[ -n "$key" ]] || continue
  [[ "$value" != *\$* ]] || fail "variables inside of FLINK_PROPERTIES are not imitated: $key"
  options+=("-D$key=$value")
done <<< "${FLINK_PROPERTIES:-}"
bash "$FLINK_HOME/bin/config-parser-utils.sh" "$FLINK_HOME/conf" "$FLINK_HOME/bin" "$FLINK_HOME/lib" "${options[@]}"
exec "$program" start-foreground "${@:2}"
