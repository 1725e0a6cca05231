#!/usr/bin/env bash
# Prints the table of docs/src/limits.md: each harness of fuzz/ on mutated seeds for some time.
# Usage: benches/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
echo "| harness | inputs | failures | longest, ms of CPU | most memory, KiB |"
echo "|---|--:|--:|--:|--:|"
# A failure ends the test, which names the input.
SLIMPACK_FUZZ_SECONDS=${1:-150} SLIMPACK_FUZZ_START=${SLIMPACK_FUZZ_START:-$RANDOM} \
    cargo test -q -p slimpack-fuzz --test inputs parsers -- --nocapture |
    awk '/ inputs in / { printf "| %s | %s | 0 | %s | %s |\n", $1, $2, $8, $(NF - 1) }' |
    sed -E ':group; s/([0-9])([0-9]{3})( |,)/\1,\2\3/; t group'
