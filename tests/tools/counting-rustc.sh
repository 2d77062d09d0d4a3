#!/bin/sh
# The compiler as cargo calls it for the crates of this workspace under `./dev coverage` (RUSTC_WORKSPACE_WRAPPER). All of
# them get counters, though few are reported: what is generic or async is compiled where it is used. Dependencies are not
# built anew, and other builds keep what they have in the same target folder.
set -eu
case " $* " in
# The list of all lines comes from these; an optimised build leaves the bodies of async functions that nothing calls out.
*" --crate-name domain "*" --test "* | *" --crate-name event_schemas "*" --test "* | \
    *" --crate-name event_store "*" --test "* | *" --crate-name read_models "*" --test "*)
    exec "$@" -C instrument-coverage -C opt-level=0
    ;;
*) exec "$@" -C instrument-coverage ;;
esac
