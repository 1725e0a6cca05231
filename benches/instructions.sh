#!/usr/bin/env bash
# Instructions of a plan, which nothing else on the machine changes. Usage: benches/instructions.sh
# [SLIMPACK...]; without arguments, the release of this directory. Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# = 0 ]; then
    cargo build --release --quiet
    set -- "$PWD/target/release/slimpack"
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' >"$folder/hello.c"
cc -O2 "$folder/hello.c" -o "$folder/hello"

for name in "$folder/hello" curl python3 git; do
    program=$(command -v "$name") || continue
    printf '%-10s' "${name##*/}"
    for slimpack in "$@"; do
        valgrind --tool=callgrind --callgrind-out-file=/dev/null "$slimpack" -q "$program" 2>&1 >/dev/null |
            awk '/Collected/ { printf "%14d", $NF }'
    done
    echo
done
