#!/bin/sh
# Runs the tests in a build that counts, and says which lines of four crates they reach. Fails if it is too few.
#
#   coverage.sh TARGET [cargo test arguments]
#
# TARGET is cargo's folder; TARGET/coverage/uncovered has each line that was not reached. Everything that the tests start
# counts: their own programs, the services, `quipu`. What is killed takes its counts with it, so there are never too many.
# The files must be read by an LLVM of 19 or newer: that of rustup's component llvm-tools, or of the system.
set -eu
# In percent of lines, of each crate.
LEAST=90
CRATES="domain event-schemas event-store read-models"

cd "$(dirname "$0")/../.."
target=$1
shift
folder=$target/coverage

# The component of this very compiler first; its version fits in any case.
llvm() {
    for found in "$(rustc --print sysroot)"/lib/rustlib/*/bin/"$1" "$1-22" "$1-21" "$1-20" "$1-19" "$1"; do
        version=$("$found" --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p')
        if [ "${version:-0}" -ge 19 ]; then
            echo "$found"
            return
        fi
    done
    echo "error: $1 was not found: rustup component add llvm-tools, or apt-get install llvm-19" >&2
    return 1
}
profdata=$(llvm llvm-profdata)
cov=$(llvm llvm-cov)

rm -rf "$folder"
mkdir -p "$folder/raw"
export RUSTC_WORKSPACE_WRAPPER="$PWD/tests/tools/counting-rustc.sh"
# Up to eight files a program; whoever ends adds its counts to one of them.
export LLVM_PROFILE_FILE="$folder/raw/%8m.profraw"
./dev test "$@"

# Nothing is built here: the names of what has run.
export SQLX_OFFLINE=true
{
    cargo build --workspace --bins --locked ${QUIPU_SWITCHES:+--features tests/sabotage} --message-format=json
    cargo test --workspace --locked ${QUIPU_SWITCHES:+--features tests/sabotage} --no-run --message-format=json
} 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\)".*/-object=\1/p' | sort -u >"$folder/programs"

"$profdata" merge --sparse --failure-mode=all "$folder"/raw/*.profraw -o "$folder/counts"
"$cov" export --format=lcov --instr-profile="$folder/counts" "@$folder/programs" >"$folder/lines"

# Counted are the sources of the four crates without what is there for tests alone: whole files, and the ends of others
# from `#[cfg(test)]` on.
awk -v crates="$CRATES" -v least="$LEAST" -v root="$PWD/" -v uncovered="$folder/uncovered" '
    function read_source(path,    text, number) {
        ends = 0
        number = 0
        split("", source)
        while ((getline text < path) > 0) {
            source[++number] = text
            if (!ends && text ~ /^#\[cfg\(test\)\]/) ends = number
        }
        close(path)
        if (!ends) ends = number + 1
    }
    BEGIN {
        crate_count = split(crates, crate, " ")
        for (i = 1; i <= crate_count; i++) wanted[crate[i]] = 1
        printf "" > uncovered
    }
    /^SF:/ {
        path = substr($0, 4)
        if (index(path, root) == 1) path = substr(path, length(root) + 1)
        name = path
        sub(/\/.*/, "", name)
        counted = (name in wanted) && path ~ /^[^\/]*\/src\// && path !~ /\/tests(\.rs$|\/)/
        if (path ~ /^domain\/src\/(spec\.rs|ledger\/(model|sample)(\.rs|\/))/) counted = 0
        if (counted) read_source(path)
    }
    /^DA:/ && counted {
        split(substr($0, 4), part, ",")
        if (part[1] >= ends) next
        of[name]++
        file_of[path]++
        if (part[2] > 0) {
            reached[name]++
        } else {
            missed[path]++
            print path ":" part[1] ": " source[part[1]] > uncovered
        }
    }
    END {
        close(uncovered)
        print "\nlines not reached, in the files that have most of them"
        worst = "sort -rn | head -n 15"
        for (path in missed) printf "%6d of %4d  %s\n", missed[path], file_of[path], path | worst
        close(worst)
        print "\nlines reached"
        failed = 0
        for (i = 1; i <= crate_count; i++) {
            name = crate[i]
            enough = of[name] > 0 && reached[name] * 100 >= least * of[name]
            share = of[name] > 0 ? reached[name] * 100 / of[name] : 0
            printf "%6d of %4d  %5.1f %%  %s%s\n", reached[name], of[name], share, name, enough ? "" : "  TOO FEW"
            if (!enough) failed = 1
        }
        printf "at least %d %% of each are asked for; the others are in %s\n", least, uncovered
        exit failed
    }
' "$folder/lines"
