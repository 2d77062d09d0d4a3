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
cd "$folder"
failed=0

# run INTERFACE TOKEN OPTION..
run() {
    interface=$1 token=$2
    shift 2
    "$tools/bin/st" --config-file "$here/schemathesis.toml" run "$(told "${interface}_url")/openapi.json" \
        -H "Authorization: Bearer $token" --seed "$seed" --max-time "$seconds" --max-examples 30 \
        --continue-on-failure --no-shrink --request-timeout 15 "$@" || failed=1
}

owner=$(told owner_token)
# The platform is an organisation too, the one with the smallest id. Only its own may decide about others.
of_platform=$("$quipu" --dir "$folder/stack" token mint --tenant 00000000-0000-0000-0000-000000000000 --role owner)
platform='^/v1/platform/'
# Reads first: what the commands do to the books is nothing to look at. An operator's token may read everything.
# Of several of its options of one name the tool takes the last.
run query "$owner" --exclude-path-regex "/stream\$|$platform"
run query "$of_platform" --include-path-regex "$platform" --phases examples,coverage,fuzzing
# What people do in person an operator's token may not: such an answer is warned of and is right here. An organisation that
# was closed would refuse all that follows.
run command "$owner" --exclude-path-regex "$platform" --exclude-operation-id closeOrganization --warnings off
run command "$of_platform" --include-path-regex "$platform" --phases examples,coverage,fuzzing --warnings off
exit $failed
