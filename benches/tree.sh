#!/usr/bin/env bash
# Resolving and checking all system ELF files in one process, against libtree on the same list
# in the same hyperfine run. Usage: benches/tree.sh
# Needs hyperfine, python3; libtree where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet
slimpack=$PWD/target/release/slimpack
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# Programs and libraries of this machine's kind, each inode once.
python3 - >list <<'PYTHON'
import os, platform
machine = {"x86_64": 62, "aarch64": 183}[platform.machine()].to_bytes(2, "little")
seen = set()
for top in ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local"):
    for where, _, names in os.walk(top):
        for path in (os.path.join(where, name) for name in names):
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                head = file.read(20)
            status = os.stat(path)
            key = (status.st_dev, status.st_ino)
            kind = head[16:17] in (b"\2", b"\3")
            if head[:5] == b"\x7fELF\2" and kind and head[18:20] == machine and key not in seen:
                seen.add(key)
                print(path)
PYTHON
echo "$(wc -l <list) files"
script() { # NAME COMMAND...
    local name=$1
    shift
    printf 'exec %s $(cat list) >/dev/null 2>&1\n' "$*" >"$name"
}
script resolve "$slimpack" tree --list
script versions "$slimpack" tree -q --versions
script symbols "$slimpack" tree -q --symbols
scripts=("bash resolve" "bash versions" "bash symbols")
if command -v libtree >/dev/null; then
    script libtree libtree
    scripts+=("bash libtree")
fi
hyperfine -N -i --warmup 2 --style basic --export-json result.json "${scripts[@]}" >/dev/null 2>&1
python3 - <<'PYTHON'
import json
results = json.load(open("result.json"))["results"]
first = results[0]["median"]
for result in results:
    print(f'{result["median"] * 1000:9.1f} ms  {result["median"] / first:5.2f}x  {result["command"][5:]}')
PYTHON
