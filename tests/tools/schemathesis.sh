#!/bin/sh
# Runs schemathesis against both interfaces of a fresh private stack with example data: every operation of the published
# documents, examples, edges of the schemas, seeded random requests, and walks along the documents' links.
#
#   schemathesis.sh QUIPU TOOLS [--seconds N] [--seed S]
#
# QUIPU is the program, TOOLS a folder for the tool itself, which is installed there once. N seconds for each interface.
# Live streams have no end and are left out; tests of their own look at them.
set -eu
VERSION=4.32.5
here=$(cd "$(dirname "$0")" && pwd)
quipu=$1 tools=$2
shift 2
seconds=60 seed=1
while [ $# -gt 0 ]; do
    case "$1" in
    --seconds) seconds=$2 ;;
    --seed) seed=$2 ;;
    *)
        echo "usage: ./dev abuse [--seconds N] [--seed S]" >&2
        exit 2
        ;;
    esac
    shift 2
done
case "$("$tools/bin/st" --version 2>/dev/null || true)" in
*" $VERSION") ;;
*)
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
    ;;
esac

folder=$(mktemp -d)
# The stack is our own: what the surroundings name is not to be filled with nonsense.
unset DATABASE_URL NATS_URL
trap '"$quipu" --dir "$folder/stack" down >&2; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
"$quipu" --dir "$folder/stack" up --detach --json --demo grocery >"$folder/stack.json"
told() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$folder/stack.json" "$1"; }
token=$(told owner_token)
cd "$folder"
failed=0
# Reads first: what the commands do to the books is nothing to look at.
for interface in query command; do
    streams=
    if [ "$interface" = query ]; then
        streams='--exclude-operation-id followEvents --exclude-operation-id followAccount'
    fi
    # shellcheck disable=SC2086 # The options are words of ours.
    "$tools/bin/st" --config-file "$here/schemathesis.toml" run "$(told "${interface}_url")/openapi.json" \
        -H "Authorization: Bearer $token" --seed "$seed" --max-time "$seconds" --max-examples 30 \
        --continue-on-failure --no-shrink --request-timeout 15 $streams || failed=1
done
exit $failed
