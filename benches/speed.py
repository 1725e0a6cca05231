#!/usr/bin/env python3
"""Prints the table of docs/src/speed.md: what slimpack costs, against yardsticks and an older build.

    benches/speed.py ROOT [--before SLIMPACK] [--static SLIMPACK] [--only WORD]

ROOT is a root directory, such as debootstrap makes; the table in the documentation is of one of 400 MB
with compilers, git, curl and python3. --before names an older slimpack, --static a static release. The
release build in target/ is measured, or what SLIMPACK names.

Commands that are compared run in turns, and the ratio is the median of the ratios of each turn: the
speed of a shared machine changes, from one second to the next. CPU is user and system time. Outputs are
in memory (/dev/shm). Needs cc, git, python3.11, curl, node, openssl, tar, gzip, zstd, libtree, valgrind
and strace; a row whose tool is missing says so.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KINDS = {"x86_64": 62, "aarch64": 183}


class Missing(Exception):
    """A tool that is not installed."""


def need(name):
    path = shutil.which(name)
    if path is None:
        raise Missing(name)
    return os.path.realpath(path)


class Run:
    """One run of a command: seconds of the clock and of the processors, and kilobytes at the peak."""

    def __init__(self, command, stdin=None):
        with open(os.devnull, "r+b") as null:
            start = time.monotonic()
            child = subprocess.Popen(command, stdin=null, stdout=null, stderr=null,
                                     shell=isinstance(command, str))
            _, status, usage = os.wait4(child.pid, 0)
            self.wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        # The status is ignored: linters report findings, libtree counts missing libraries.
        if not 0 <= child.returncode < 126:
            raise RuntimeError(f"{command[0]} ended with {child.returncode}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss


def in_turns(commands, turns):
    """Runs of each command, after one of each that is not counted."""
    for command in commands:
        Run(command)
    runs = [[] for _ in commands]
    for _ in range(turns):
        for place, command in zip(runs, commands):
            place.append(Run(command))
    return runs


def ratio(runs, yardstick, figure):
    """The median of the ratios to the yardstick's run in the same turn."""
    pairs = zip(runs, yardstick)
    return statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in pairs)


def megabytes(runs):
    return f"{max(run.peak for run in runs) / 1024:.0f} MB"


def seconds(runs, figure="cpu"):
    return f"{statistics.median(getattr(run, figure) for run in runs):.2f} s"


def against(yardsticks, turns=7, figure="cpu", memory=True):
    """A row: each build's command against one or several commands together."""

    def measure(builds):
        commands = [command for _, command in builds]
        runs = in_turns([*commands, yardsticks], turns)
        cells = []
        for own in runs[:-1]:
            cell = f"{ratio(own, runs[-1], figure):.2f}"
            cells.append(f"{cell}, {megabytes(own)}" if memory else cell)
        return cells

    return measure


def alone(turns=3, figure="cpu", time=True):
    """A row: seconds and the peak of each build's command."""

    def measure(builds):
        runs = in_turns([command for _, command in builds], turns)
        both = lambda own: f"{seconds(own, figure)}, {megabytes(own)}"
        return [both(own) if time else megabytes(own) for own in runs]

    return measure


def instructions(builds):
    valgrind = need("valgrind")
    cells = []
    for slimpack, command in builds:
        words = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
        said = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        count = int(re.search(r"Collected : (\d+)", said.stderr).group(1))
        cells.append(f"{count / 1e6:.2f} M")
    return cells


def calls(builds):
    strace = need("strace")
    cells = []
    for _, command in builds:
        with tempfile.NamedTemporaryFile() as log:
            subprocess.run([strace, "-f", "-qq", "-o", log.name, *command], check=True)
            cells.append(f"{len(log.read().splitlines())}")
    return cells


def elf_files(top, kind):
    """ELF programs and libraries of this machine's kind, each inode once."""
    seen = set()
    for where, _, names in os.walk(top):
        for path in (os.path.join(where, name) for name in names):
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                head = file.read(20)
            status = os.stat(path)
            key = (status.st_dev, status.st_ino)
            is_this = head[:5] == b"\x7fELF\2" and head[16:17] in (b"\2", b"\3")
            if is_this and head[18:20] == kind and key not in seen:
                seen.add(key)
                yield path


def compile_c(text, out, *flags):
    words = [need("cc"), "-O1", "-x", "c", "-", "-o", out, *flags]
    subprocess.run(words, input=text, text=True, check=True)


def program_of(libraries, folder):
    """A program that needs so many libraries, and calls each."""
    os.makedirs(folder)
    names = [f"{number:04}" for number in range(libraries)]
    compile_c("void given(void) {}", f"{folder}/given.o", "-c", "-fPIC")
    # Only the linker: compiling each library would take minutes.
    link = ("ld -shared -soname libx$0.so --defsym f$0=given -o $1/libx$0.so $1/given.o".split())
    script = " ".join(link)
    subprocess.run(["xargs", "-P", str(os.cpu_count()), "-I{}", "sh", "-c", script, "{}", folder],
                   input="\n".join(names), text=True, check=True)
    declared = "".join(f"void f{name}(void);" for name in names)
    called = "".join(f"f{name}();" for name in names)
    compile_c(f"{declared} int main(void) {{ {called} return 0; }}", f"{folder}/main", f"-L{folder}",
              *(f"-lx{name}" for name in names), "-Wl,-rpath,$ORIGIN")
    return f"{folder}/main"


def layout_of(layer, folder, compressed=None):
    """An OCI archive of one layer: the tar at `layer`, or what it was compressed to."""
    blobs = f"{folder}/blobs/sha256"
    os.makedirs(blobs)

    def digest_of(path):
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        return digest.hexdigest()

    def put(kind, value):
        data = json.dumps(value).encode()
        name = hashlib.sha256(data).hexdigest()
        with open(f"{blobs}/{name}", "wb") as file:
            file.write(data)
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{name}", "size": len(data)}

    stored = compressed or layer
    name = digest_of(stored)
    os.link(stored, f"{blobs}/{name}")
    ending = {".gz": "+gzip", ".zst": "+zstd"}.get(os.path.splitext(stored)[1], "")
    config = put("config.v1+json", {
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest_of(layer)}"]},
    })
    manifest = put("manifest.v1+json", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [{"mediaType": f"application/vnd.oci.image.layer.v1.tar{ending}",
                    "digest": f"sha256:{name}", "size": os.path.getsize(stored)}],
    })
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "root"}
    with open(f"{folder}/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
    with open(f"{folder}/oci-layout", "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)
    archive = f"{folder}.tar"
    subprocess.run(["tar", "-C", folder, "-cf", archive, "oci-layout", "index.json", "blobs"],
                   check=True)
    shutil.rmtree(folder)
    return archive


class Bench:
    """The table's rows, each of which makes what it measures and removes it again."""

    def __init__(self, args, work):
        self.root = os.path.realpath(args.root)
        self.work = work
        self.builds = {"before": args.before, "now": args.now}
        self.builds = {name: path for name, path in self.builds.items() if path}
        self.static = args.static
        self.only = args.only
        self.made = {}

    def at(self, name):
        return f"{self.work}/{name}"

    def once(self, name, make):
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def hello(self):
        def make():
            text = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n"
            compile_c(text, self.at("hello"))
            return self.at("hello")
        return self.once("hello", make)

    def floor(self):
        def make():
            if platform.machine() != "x86_64":
                raise Missing("an x86 processor, for floor.c")
            flags = ["-O2", "-static", "-msse4.1", "-msha"]
            subprocess.run([need("cc"), *flags, f"{HERE}/benches/floor.c", "-o", self.at("floor")],
                           check=True)
            return self.at("floor")
        return self.once("floor", make)

    def elves(self, top):
        return self.once(f"elves {top}", lambda: list(
            elf_files(top, KINDS[platform.machine()].to_bytes(2, "little"))))

    def tar(self):
        def make():
            subprocess.run(["tar", "--numeric-owner", "-C", self.root, "-cf", self.at("root.tar"), "."],
                           check=True)
            return self.at("root.tar")
        return self.once("root.tar", make)

    def compressed(self, tool, ending):
        def make():
            out = f"{self.tar()}{ending}"
            with open(out, "wb") as file:
                subprocess.run([need(tool), "-c", self.tar()], stdout=file, check=True)
            return layout_of(self.tar(), self.at(f"layout-{tool}"), out)
        return self.once(tool, make)

    def image(self):
        return self.once("image", lambda: layout_of(self.tar(), self.at("layout")))

    def listed(self, name, command, files):
        """A script that runs a command on many files."""
        quoted = " ".join(f"'{path}'" for path in files)
        with open(self.at(name), "w") as file:
            file.write(f"exec {command} {quoted}\n")
        return ["sh", self.at(name)]

    def each(self, make):
        """The command of each build."""
        return [(path, make(name, path)) for name, path in self.builds.items()]

    def row(self, work, target, measure, make):
        if self.only and self.only not in work:
            return
        cells = dict.fromkeys(("before", "now"), "")
        try:
            # A command may come from a function, which needs tools, too.
            builds = self.each(make)
            cells.update(zip(self.builds, measure(builds)))
        except Missing as missing:
            cells["now"] = f"needs {missing}"
        print(f"| {work} | {cells['before']} | {cells['now']} | {target} |", flush=True)

    def print(self):
        print("| work | before | now | target |\n|---|--:|--:|--:|", flush=True)
        self.packing()
        self.trees()
        self.lints()
        self.memory()

    def pack(self, program, *flags, out=None):
        out = out or "out.tar"
        return lambda name, path: [path, "-q", *program, "-o", self.at(f"{name}-{out}"), *flags]

    def packing(self):
        def floor_of(*files):
            return lambda builds: against(
                [self.floor(), self.at("floor.tar"), *files], turns=31, memory=False)(builds)
        loaded = lambda: [os.path.realpath(path) for path in
                          ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6")]
        hello = self.hello()
        self.row("pack a dynamic hello: CPU against `benches/floor.c`", "≤ 1.15",
                 floor_of(hello, *loaded()), self.pack([hello]))
        if self.static:
            builds, self.builds = self.builds, {"now": self.static}
            self.row("the same by the static release", "≤ 1.0", floor_of(hello, *loaded()),
                     self.pack([hello]))
            self.builds = builds
        self.row("the same: system calls", "", calls, self.pack([hello]))

        def node_against_sha(builds):
            subprocess.run(builds[-1][1], check=True)
            image = builds[-1][1][builds[-1][1].index("-o") + 1]
            sha = [need("openssl"), "dgst", "-sha256", image]
            return against(sha, 15, "wall", memory=False)(builds)
        self.row("pack node (99 MB): time against SHA-256 of the image", "≤ 1.0", node_against_sha,
                 lambda name, path: self.pack([need("node")])(name, path))

        def streamed(builds):
            cells = []
            for path, command in builds:
                file = self.pack([need("node")])("file", path)
                cells += against(file, memory=False)([(path, command)])
            return cells
        self.row("`-o -` of node: CPU against `-o FILE`", "≤ 1.3", streamed,
                 lambda name, path: f"{path} -q {need('node')} -o - | cat >/dev/null")
        for name, target in (("hello", ""), ("curl", ""), ("git", "≤ 9 M"), ("python3.11", "≤ 12 M")):
            self.row(f"plan of {name}: instructions", target, instructions,
                     lambda _, path: [path, "-q", self.hello() if name == "hello" else need(name)])

        def programs():
            os.makedirs(self.at("programs"))
            for number in range(8000):
                os.link(hello, self.at(f"programs/p{number}"))
                # Each writes its own file.
                shutil.copy(hello, self.at(f"programs/p{number}.new"))
                os.rename(self.at(f"programs/p{number}.new"), self.at(f"programs/p{number}"))
            names = sorted(os.listdir(self.at("programs")))
            return [self.at(f"programs/{name}") for name in names]
        self.row("pack 8,000 programs", "≤ 1.5 s", alone(),
                 lambda name, path: self.pack(self.once("programs", programs))(name, path))
        shutil.rmtree(self.at("programs"), ignore_errors=True)

        def sparse():
            with open(self.at("sparse"), "wb") as file:
                file.truncate(4 << 30)
            return self.at("sparse")
        self.row("pack a sparse file of 4 GB: CPU", "≤ 4 s", alone(),
                 lambda name, path: self.pack([hello], "--add", f"{self.once('sparse', sparse)}:/data")
                 (name, path))
        for name in self.builds:
            if os.path.exists(self.at(f"{name}-out.tar")):
                os.remove(self.at(f"{name}-out.tar"))

    def trees(self):
        files = []
        for top in ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local"):
            files += self.elves(top)

        def libtree(yardstick):
            def measure(builds):
                need("libtree")
                return against(self.listed("libtree", yardstick, files), 3)(builds)
            return measure
        for words, target in (("tree", "≤ 2, 48 MB"), ("tree --json", "≤ 2, 48 MB"),
                              ("tree --list", "≤ 1.0")):
            # By default, libtree skips the libraries that every system has; -vvv shows all.
            for yardstick in ("libtree", "libtree -vvv"):
                self.row(f"`{words}` of {len(files):,} files: CPU against `{yardstick}`", target,
                         libtree(yardstick), lambda name, path: self.listed(
                             f"{name}-{words}", f"{path} {words}", files))

    def lints(self):
        lint = lambda target: lambda name, path: [path, "lint", "--fail-on", "never", target()]

        def like_tar(builds):
            files = self.elves(self.root)
            both = self.listed("both", f"tar -tf {self.tar()}; {need('libtree')} -vvv", files)
            with open(both[1]) as script:
                text = script.read().replace("exec ", "", 1)
            with open(both[1], "w") as script:
                script.write(text)
            return against(both, 5)(builds)
        size = os.path.getsize(self.tar()) >> 20
        self.row(f"lint of a root's tar ({size} MB): CPU against tar -tf and libtree -vvv", "≤ 2",
                 like_tar, lint(self.tar))
        self.row("lint of the root directory: the same", "≤ 3", like_tar, lint(lambda: self.root))
        self.row("lint of an image archive: time against SHA-256", "≤ 1.1",
                 lambda builds: against([need("openssl"), "dgst", "-sha256", self.image()], 9, "wall")
                 (builds), lint(self.image))
        for count, target in ((1000, "≤ 0.15 s, 64 MB"), (4000, "≤ 0.6 s, 64 MB")):
            self.row(f"lint of a program with {count:,} libraries", target, alone(), lint(
                lambda: self.once(count, lambda: program_of(count, self.at(f"needs-{count}")))))

    def memory(self):
        target = "≤ 48 MB"
        peak = alone(turns=2, time=False)
        self.row("`size` of an image archive", target, peak,
                 lambda name, path: [path, "size", self.image()])
        for tool, ending in (("gzip", ".gz"), ("zstd", ".zst")):
            self.row(f"lint of an image archive in {tool}", target, peak, lambda name, path: [
                path, "lint", "--fail-on", "never", self.compressed(tool, ending)])
        self.row("pack node with `--compress zstd`", target, peak,
                 lambda name, path: self.pack([need("node")], "--compress", "zstd")(name, path))

        def small():
            os.makedirs(self.at("small"))
            for number in range(10000):
                with open(self.at(f"small/file{number}"), "w") as file:
                    file.write(f"{number}\n")
            return self.at("small")
        self.row("pack 10,000 small files", target, peak, lambda name, path: self.pack(
            [self.hello()], "--add", f"{self.once('small', small)}:/small")(name, path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root")
    parser.add_argument("--before", help="an older slimpack")
    parser.add_argument("--static", help="a static release")
    parser.add_argument("--only", help="only rows that contain this")
    args = parser.parse_args()
    args.now = os.path.realpath(os.environ.get("SLIMPACK", f"{HERE}/target/release/slimpack"))
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as work:
        Bench(args, work).print()


if __name__ == "__main__":
    sys.exit(main())
