#!/usr/bin/env bash
# The cost of a trace: a command on its own, under slimpack, and under strace, in one hyperfine run.
# Usage: benches/trace.sh. Needs hyperfine, strace, git, python3, gcc.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet
slimpack=$PWD/target/release/slimpack
folder=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' >hello.c
git init -q repository
git -C repository -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m first
for command in "git clone -q repository clone" "python3 -c 'import ssl'" "gcc hello.c -o hello"; do
    echo "== $command"
    hyperfine -N --style none --warmup 3 --min-runs 30 --export-json times.json --prepare 'rm -rf clone' \
        "$command" \
        "$slimpack trace -q -o log -- $command" \
        "strace -f --seccomp-bpf -e trace=%file -o /dev/null $command" >/dev/null 2>&1
    python3 - <<'PYTHON'
import json
plain, traced, strace = (run["median"] for run in json.load(open("times.json"))["results"])
print(f"plain {plain * 1000:.1f} ms, slimpack trace {traced / plain:.2f}, strace {strace / plain:.2f} times that")
PYTHON
done
