#!/usr/bin/env bash
# How many of the ELF files in a directory show the sign of each need, and how many bytes the
# automatic needs add to an image. Usage: benches/needs.sh [DIR]   (default /usr/bin)
# Needs python3.
set -euo pipefail
folder=$(realpath "${1:-/usr/bin}")
cd "$(dirname "$0")/.."
cargo build --release --quiet
python3 - "$PWD/target/release/slimpack" "$folder" <<'PYTHON'
import json, os, statistics, subprocess, sys

slimpack, folder = sys.argv[1:]


def is_elf(path):
    if not os.path.isfile(path) or os.path.islink(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def run(*words):
    return subprocess.run([slimpack, *words], capture_output=True, text=True)


files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
files = [path for path in files if is_elf(path)]
fires = {}
for line in run("needs", "--json", *files).stdout.splitlines():
    for need in json.loads(line)["needs"]:
        key = (need["mode"], need["need"])
        fires[key] = fires.get(key, 0) + 1
added, failed = [], []
for path in files:
    plans = [run("--json", path, *flags) for flags in ([], ["--with", "none"])]
    if any(plan.returncode for plan in plans):
        failed.append(path)
        continue
    with_needs, without = (json.loads(plan.stdout)["bytes"] for plan in plans)
    added.append(with_needs - without)
added.sort()
print(f"{len(files)} ELF files in {folder}")
for (mode, need), count in sorted(fires.items(), key=lambda item: (item[0][0], -item[1])):
    print(f"{mode:10} {need:16} {count:5} {100 * count / len(files):5.1f} %")
p90 = added[len(added) * 9 // 10]
print(f"bytes added by automatic needs: median {statistics.median(added):.0f}, "
      f"p90 {p90}, largest {added[-1]}")
for path in failed:
    print(f"not packed: {path}")
PYTHON
