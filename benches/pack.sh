#!/usr/bin/env bash
# Packing against peers, in one hyperfine run each. Usage: benches/pack.sh
# Needs hyperfine, cc, openssl, node; elfpak (cargo install elfpak) where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet
slimpack=$PWD/target/release/slimpack
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' >hello.c
cc -O2 hello.c -o hello

compare() { # NAME PROGRAM
    local commands=("$slimpack -q $2 -o slimpack.tar")
    if command -v elfpak >/dev/null; then
        commands+=("elfpak -q bundle $2 --oci-archive elfpak.tar -o elfpak --clean")
    fi
    "$slimpack" -q "$2" -o slimpack.tar
    commands+=("openssl dgst -sha256 slimpack.tar")
    echo "== $1"
    hyperfine -N --warmup 3 --style basic --export-json result.json "${commands[@]}" >/dev/null 2>&1
    python3 - <<'PYTHON'
import json
results = json.load(open("result.json"))["results"]
first = results[0]["median"]
for result in results:
    print(f'{result["median"] * 1000:9.1f} ms  {result["median"] / first:5.1f}x  {result["command"]}')
PYTHON
}

compare "dynamic hello" ./hello
compare "node" "$(readlink -f "$(command -v node)")"
