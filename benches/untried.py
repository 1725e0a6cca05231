#!/usr/bin/env python3
"""How many programs that nobody tuned slimpack for run in their images.

ROOT is a Debian root with the programs of benches/untried.txt installed (`--install` does it, with
apt-get in the root). Each program runs in the root, and then in an image that was packed from it: with
no flag, else with every flag that the plan suggests, and what that plan suggests. It runs if it prints the same, numbers aside, and
ends with the same status.

    debootstrap --variant=minbase bookworm ROOT
    benches/untried.py ROOT --install
    benches/untried.py ROOT [--slimpack FILE] [--only WORD]
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

SECONDS = 120
# How many times the hints of a plan are followed.
ROUNDS = 3
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HERE = Path(__file__).resolve().parent


def cases(words):
    """The package, the program and the arguments of each line."""
    for line in (HERE / "untried.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            package, program, arguments = line.split("|", 2)
            if not words or any(word in line for word in words):
                yield package, program, shlex.split(arguments)


def install(root):
    packages = sorted({package for package, _, _ in cases([])})
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    environment = {"DEBIAN_FRONTEND": "noninteractive", "PATH": PATH}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run(["chroot", root, "apt-get", "-q", *command], check=True, env=environment)


def find(root, program):
    """The program in the root, by PATH."""
    for directory in PATH.split(":"):
        path = os.path.join(directory, program)
        walk = subprocess.run(["chroot", root, "test", "-x", path], stderr=subprocess.DEVNULL)
        if walk.returncode == 0:
            return path
    return None


def run(root, program, arguments):
    """What it prints, numbers aside, and its status."""
    command = ["bwrap", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-pid",
               "--unshare-net", "--unshare-ipc", "--clearenv", "--setenv", "PATH", PATH, "--setenv", "HOME", "/root", "--chdir",
               "/", "--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf", program, *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.returncode, re.sub(rb"\d+", b"#", done.stdout)


def pack(slimpack, root, program, arguments, flags, output):
    words = [slimpack, "--root", root, f"{root}{program}", "--format", "rootfs",
             f"--cmd={json.dumps(arguments)}", "--keep-setuid", *flags]
    return subprocess.run([*words, "--json", "-o", f"{output}/"], capture_output=True, text=True)


def attempt(slimpack, root, program, arguments, here):
    """How the program runs, with which flags, and what it says if it does not."""
    flags, said = [], ""
    for way in ["no flag"] + ["hinted flags"] * ROUNDS:
        with tempfile.TemporaryDirectory() as directory:
            output = f"{directory}/root"
            packed = pack(slimpack, root, program, arguments, flags, output)
            if packed.returncode != 0:
                return "not packed", flags, packed.stderr
            hints = json.loads(packed.stdout.splitlines()[-1])["hints"]
            found = run(output, program, arguments)
            if found == here:
                return way, flags, ""
            said = "timed out" if found is None else found[1].decode(errors="replace")
        # What an option adds may cause further hints.
        hinted = [word for hint in hints for word in shlex.split(hint["flag"])]
        if not hinted:
            break
        flags += hinted
    return "neither", flags, said


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--slimpack", default=HERE.parent / "target/release/slimpack")
    options = parser.parse_args()
    root = options.root.resolve()
    if options.install:
        return install(root)
    counted = Counter()
    for _, program, arguments in cases(options.only):
        path = find(root, program)
        line = shlex.join([program, *arguments])
        if path is None:
            counted["not installed"] += 1
            print(f"not installed\t{line}", flush=True)
            continue
        here = run(root, path, arguments)
        if here is None or here[0] != 0:
            counted["fails in the root, too"] += 1
            print(f"fails in the root, too\t{line}", flush=True)
            continue
        way, flags, said = attempt(options.slimpack, root, path, arguments, here)
        counted[way] += 1
        print(f"{way}\t{line}\t{shlex.join(flags)}", flush=True)
        for text in said.splitlines()[-3:]:
            print(f"\t\t{text}", flush=True)
    total = ", ".join(f"{count} {way}" for way, count in sorted(counted.items()))
    print(f"{sum(counted.values())} programs: {total}")


if __name__ == "__main__":
    sys.exit(main())
