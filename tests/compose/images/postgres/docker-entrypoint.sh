#!/bin/bash
# What compose needs of the public image's entrypoint: an account and a database on first start, SQL files, then the
# server as the user postgres.
set -euo pipefail

fail() {
  echo "$0: $*" >&2
  exit 1
}

# Give a variable the content of the file that VARIABLE_FILE names, or a default.
from_file() {
  local file="${1}_FILE"
  [[ -z "${!1:-}" || -z "${!file:-}" ]] || fail "both $1 and $file are set"
  if [[ -n "${!file:-}" ]]; then
    printf -v "$1" '%s' "$(< "${!file}")"
  else
    printf -v "$1" '%s' "${!1:-${2:-}}"
  fi
}

run_sql() {
  psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" "$@"
}

initialise() {
  from_file POSTGRES_PASSWORD
  from_file POSTGRES_USER postgres
  from_file POSTGRES_DB "$POSTGRES_USER"
  from_file POSTGRES_INITDB_ARGS
  [[ -z "${POSTGRES_INITDB_WALDIR:-}" ]] || fail "POSTGRES_INITDB_WALDIR is not imitated"
  [[ -n "$POSTGRES_PASSWORD" || "${POSTGRES_HOST_AUTH_METHOD:-}" == trust ]] \
    || fail "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, or POSTGRES_HOST_AUTH_METHOD=trust"
  # The arguments are shell text, as they are for the public image.
  eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=<(printf '%s\n' \"\$POSTGRES_PASSWORD\") $POSTGRES_INITDB_ARGS"
  local method="${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption "$@")}"
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"

  # A server that only its own socket reaches, so that nobody meets a half-made database.
  export PGPASSWORD="$POSTGRES_PASSWORD"
  pg_ctl --wait --options="$(printf '%q ' "$@" -c "listen_addresses=")" start
  if ! run_sql --dbname=postgres --tuples-only --set=name="$POSTGRES_DB" \
    <<< "SELECT 1 FROM pg_database WHERE datname = :'name'" | grep -q 1; then
    run_sql --dbname=postgres --set=name="$POSTGRES_DB" <<< 'CREATE DATABASE :"name"'
  fi
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      */\*) ;;
      *.sql) echo "$0: running $file" && run_sql --dbname="$POSTGRES_DB" --file="$file" ;;
      *) fail "$file: only *.sql is imitated" ;;
    esac
  done
  pg_ctl --wait --mode=fast stop
  unset PGPASSWORD
}

[[ "${1:-}" != -* ]] || set -- postgres "$@"
[[ "${1:-}" == postgres ]] || exec "$@"

mkdir -p "$PGDATA"
if [[ "$(id -u)" == 0 ]]; then
  chmod 700 "$PGDATA"
  find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
[[ -s "$PGDATA/PG_VERSION" ]] || initialise "${@:2}"
# A password is for the first start only; the server needs none of it.
unset "${!POSTGRES_@}"
exec "$@"
