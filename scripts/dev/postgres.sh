#!/usr/bin/env bash
# A PostgreSQL of its own, of Debian's package `postgresql`, for the tests of what talks to one.
#
#     scripts/dev/postgres.sh start STATE       # in the background, on a socket in STATE; prints its address for SQLAlchemy
#     scripts/dev/postgres.sh stop STATE
#
# STATE is a folder that anybody may enter: started by root, the server runs as `nobody`, as it refuses to be root's. Listens to no port,
# trusts whoever reaches the socket, and does not wait for the disk.
set -euo pipefail

programs() {
    local found=(/usr/lib/postgresql/*/bin/initdb)
    [ -x "${found[-1]}" ] || found=("$(command -v initdb)") || {
        echo 'no initdb is here: apt-get install postgresql' >&2
        return 1
    }
    dirname "${found[-1]}"
}

# A program of PostgreSQL's, in a folder that its user can enter.
as_server() {
    local as=()
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
    (cd / && "${as[@]}" "$bin/$1" "${@:2}")
}

start() {
    local state bin
    state=$(realpath "$1") bin=$(programs)
    mkdir -p "$state/server"
    [ "$(id -u)" != 0 ] || chown nobody:nogroup "$state/server"
    as_server initdb --pgdata "$state/server/data" --username test --auth trust --no-locale --encoding UTF8 --no-sync >/dev/null
    as_server pg_ctl start --wait --silent --pgdata "$state/server/data" --log "$state/server/log" \
        -o "-c listen_addresses='' -c fsync=off -k '$state/server'" </dev/null >/dev/null || {
        tail -n 5 "$state/server/log" >&2
        return 1
    }
    echo "postgresql+psycopg://test@/postgres?host=$state/server"
}

stop() {
    local bin
    bin=$(programs)
    as_server pg_ctl stop --mode immediate --silent --pgdata "$(realpath "$1")/server/data"
}

case ${1-} in
    start | stop) "$@" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" && [ "${1-}" = --help ] ;;
esac
