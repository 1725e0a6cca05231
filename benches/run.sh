#!/usr/bin/env bash
# The time of `slimpack run` for a static hello, against runc on an unpacked bundle and podman; and the
# time that `--test` adds to packing it. Usage: benches/run.sh. Needs root, hyperfine, gcc, runc, umoci and podman.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet
slimpack=$PWD/target/release/slimpack
folder=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' >hello.c
gcc -O2 -static hello.c -o hello
"$slimpack" ./hello -q -t hello:1 -o hello.tar
mkdir layout bundle && tar -xf hello.tar -C layout
umoci unpack --image layout:1 bundle
python3 - <<'PYTHON'
import json
config = json.load(open("bundle/config.json"))
config["process"]["terminal"] = False
config["process"].pop("rlimits", None)
json.dump(config, open("bundle/config.json", "w"))
PYTHON
podman="podman --root $folder/root --runroot $folder/run --tmpdir $folder/tmp"
$podman load -q -i hello.tar >/dev/null
hyperfine -N --style none --warmup 3 --min-runs 30 --export-json times.json \
    "$slimpack run -q hello.tar" \
    "runc --root $folder/state run -b bundle hello" \
    "$podman run --rm --network none --runtime runc --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 hello:1" \
    "$slimpack ./hello -q -o packed.tar" \
    "$slimpack ./hello -q --test= -o tested.tar" >/dev/null 2>&1
python3 - <<'PYTHON'
import json
run, runc, podman, pack, test = (one["median"] for one in json.load(open("times.json"))["results"])
print(f"slimpack run {run * 1000:.1f} ms: {run / runc:.2f} of runc, {run / podman:.3f} of podman")
print(f"--test adds {(test - pack) * 1000:.1f} ms: packing with it takes {test / pack:.1f} times as long")
PYTHON
