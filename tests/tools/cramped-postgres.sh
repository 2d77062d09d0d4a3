#!/bin/sh
# A PostgreSQL on two small disks of its own, one for data and one for the write-ahead log, either of which can be filled
# and freed, for a test. It runs below
#   unshare --user --map-root-user --mount
# so that the disks are seen by nobody else and go when this ends. A server that ends by itself is started again, as a
# service manager would do.
#
#   cramped-postgres.sh FOLDER BIN PORT data|wal
#
# SIGUSR1 fills the disk that was named to the last byte, SIGUSR2 frees it, SIGTERM ends everything.
# The disk that is not filled is wide. With room for its log PostgreSQL makes no checkpoint while the disk of the data is
# full: it cannot make one there, and ends itself (PANIC) when it tries.
#
# Exits with 9 if no disk can be made here, with 8 if there is no server.
set -u
if [ "$4" = data ]; then wal_disk=400m wal_max=300MB; else wal_disk=50m wal_max=8MB; fi
if [ "${5-}" != inside ]; then
    mkdir -p "$1/data" "$1/wal"
    mount -t tmpfs -o size=150m,mode=700 none "$1/data" 2>/dev/null || exit 9
    mount -t tmpfs -o "size=$wal_disk,mode=700" none "$1/wal" 2>/dev/null || exit 9
    # PostgreSQL does not run as root.
    exec unshare --user --map-user=65534 --map-group=65534 -- sh "$0" "$@" inside
fi
folder=$1 bin=$2 port=$3 filler=$1/$4/filler server=
stop() {
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
    exit 0
}
trap stop TERM
trap 'cat /dev/zero >"$filler" 2>/dev/null' USR1
trap 'rm -f "$filler"' USR2
"$bin/initdb" -D "$folder/data/db" --waldir "$folder/wal/log" -U postgres -A trust -E UTF8 --locale=C \
    --wal-segsize=1 >/dev/null || exit 8
while :; do
    "$bin/postgres" -D "$folder/data/db" -c listen_addresses=127.0.0.1 -c "port=$port" -c unix_socket_directories= \
        -c "max_wal_size=$wal_max" -c min_wal_size=2MB -c shared_buffers=16MB &
    server=$!
    # A signal ends the wait, and the server goes on.
    while kill -0 "$server" 2>/dev/null; do wait "$server"; done
    sleep 0.2
done
