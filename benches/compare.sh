#!/usr/bin/env bash
# One program in images built in six ways, as a Markdown table: the size of the archive, the regular
# files in the image, its layers, the size of the layers in zstd (however they are stored), and the
# findings of `slimpack lint`: errors, warnings, and data that programs would miss (SP401).
#
#   benches/compare.sh ROOT CURLROOT
#
# ROOT is a Debian of the same release as this machine, CURLROOT the same with curl; as root:
#
#   debootstrap --variant=minbase bookworm ROOT
#   debootstrap --variant=minbase --include=curl,ca-certificates bookworm CURLROOT
#
# Needs cc, curl from Debian's package, python3, tar, root (to read the roots); elfpak (cargo install
# elfpak) is optional. SLIMPACK names the slimpack to use instead of target/release/slimpack.
#
# The programs are a hello world in C (cc -O2 -g) and /usr/bin/curl. The images:
#
#   Debian     two layers: ROOT without apt's downloads and lists, and what is added to it: hello alone;
#              for curl, the files in which CURLROOT differs from ROOT, which is what
#              `apt-get install curl ca-certificates` would leave in a layer
#   by hand    FROM scratch: the program and every file that ldd prints, by cp -L; nothing that it
#              reads besides, so curl has no certificates
#   elfpak     elfpak bundle, with its defaults
#   slimpack   with its defaults, with --strip, and with --strip --compress zstd
#
# The archives of the first two are OCI archives with uncompressed layers, as slimpack's are by default;
# those of the tools are as the tools write them. A compressed layer is noted after the number of layers.
set -euo pipefail
usage='usage: benches/compare.sh ROOT CURLROOT'
root=$(realpath -e "${1:?$usage}")
curl_root=$(realpath -e "${2:?$usage}")
cd "$(dirname "$0")/.."
slimpack=$(realpath -e "${SLIMPACK:-target/release/slimpack}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

layer() { # FOLDER TAR [OPTION...]
    tar --numeric-owner --sort=name -C "$1" -cf "$2" "${@:3}"
}

# An OCI archive with these uncompressed layers, which starts PROGRAM.
archive() { # OUT PROGRAM LAYER...
    rm -rf layout
    mkdir -p layout/blobs/sha256
    python3 - "${@:2}" <<'PYTHON'
import hashlib, json, os, platform, sys

program, *layers = sys.argv[1:]
blobs = "layout/blobs/sha256"
oci = "application/vnd.oci.image"
machine = platform.machine()


def put(kind, value):
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{blobs}/{digest}", "wb") as file:
        file.write(data)
    return {"mediaType": f"{oci}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}


def put_layer(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    os.link(path, f"{blobs}/{digest.hexdigest()}")
    return {"mediaType": f"{oci}.layer.v1.tar", "digest": f"sha256:{digest.hexdigest()}",
            "size": os.path.getsize(path)}


layers = [put_layer(path) for path in layers]
config = put("config.v1+json", {
    "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
    "os": "linux",
    "config": {"Entrypoint": [program], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
    "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
})
manifest = put("manifest.v1+json", {
    "schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json", "config": config, "layers": layers,
})
manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
with open("layout/index.json", "w") as file:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)
with open("layout/oci-layout", "w") as file:
    json.dump({"imageLayoutVersion": "1.0.0"}, file)
PYTHON
    tar -C layout -cf "$1" oci-layout index.json blobs
    rm -r layout
}

# The files of the second root that are missing or different in the first, and their directories.
added() { # ROOT OTHER
    python3 - "$@" <<'PYTHON'
import filecmp, os, stat, sys

old, new = sys.argv[1:]
paths = set()


def is_same(path):
    first, second = f"{old}/{path}", f"{new}/{path}"
    if not os.path.lexists(first):
        return False
    one, other = os.lstat(first), os.lstat(second)
    if (one.st_mode, one.st_uid, one.st_gid) != (other.st_mode, other.st_uid, other.st_gid):
        return False
    if stat.S_ISLNK(one.st_mode):
        return os.readlink(first) == os.readlink(second)
    return not stat.S_ISREG(one.st_mode) or filecmp.cmp(first, second, shallow=False)


for folder, folders, files in os.walk(new):
    for name in folders + files:
        path = os.path.relpath(os.path.join(folder, name), new)
        if not is_same(path):
            while path:
                paths.add(path)
                path = os.path.dirname(path)
sys.stdout.write("".join(f"{path}\0" for path in sorted(paths)))
PYTHON
}

# The usual Dockerfile: the program and the files that ldd prints, under their names.
by_hand() { # PROGRAM PATH-IN-IMAGE FOLDER
    mkdir -p "$3${2%/*}"
    cp -L "$1" "$3$2"
    { ldd "$1" || true; } | grep -o '/[^ ]*' | sort -u | while read -r library; do
        mkdir -p "$3${library%/*}"
        cp -L "$library" "$3$library"
    done
}

row() { # NAME ARCHIVE
    "$slimpack" inspect --json "$2" >inspect.json
    "$slimpack" lint --format json "$2" --fail-on never >lint.json
    "$slimpack" size --json "$2" >size.json
    python3 - "$1" "$2" <<'PYTHON'
import json, os, sys

name, path = sys.argv[1:]
image = json.load(open("inspect.json"))["images"][0]
report = json.load(open("lint.json"))
summary = report["summary"]
findings = [finding for target in report["targets"] for finding in target["findings"]]
missed = sum(finding["rule"] == "SP401" for finding in findings)
zstd = json.load(open("size.json"))["images"][0]["zstd"]
methods = sorted({layer["compression"] for layer in image["layers"]} - {"none"})
layers = ", ".join([str(len(image["layers"])), *methods])
print(f'| {name} | {os.path.getsize(path):,} | {image["totals"]["files"]:,} | {layers} '
      f'| {zstd:,} | {summary["error"]} | {summary["warning"]} | {missed} |')
PYTHON
    rm "$2"
}

compare() { # NAME PROGRAM PATH-IN-IMAGE LAYER
    archive image.tar "$3" debian.tar "$4"
    row "$1: Debian" image.tar
    by_hand "$2" "$3" "$1-by-hand"
    layer "$1-by-hand" by-hand.tar --owner=0 --group=0 .
    archive image.tar "$3" by-hand.tar
    row "$1: by hand with ldd" image.tar
    if command -v elfpak >/dev/null; then
        elfpak -q bundle "$2" --oci-archive image.tar -o elfpak --clean >/dev/null
        row "$1: elfpak" image.tar
    else
        echo "$1: no row for elfpak, which is not installed" >&2
    fi
    for flags in "" "--strip" "--strip --compress zstd"; do
        # shellcheck disable=SC2086 # words
        "$slimpack" -q "$2" -o image.tar $flags
        row "$1: slimpack${flags:+ $flags}" image.tar
    done
}

printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' >hello.c
cc -O2 -g hello.c -o hello
mkdir -p top/usr/local/bin
cp hello top/usr/local/bin/hello
layer top hello-layer.tar --owner=0 --group=0 usr
downloads=('--exclude=var/cache/apt/*' '--exclude=var/lib/apt/lists/*')
layer "$root" debian.tar "${downloads[@]}" .
added "$root" "$curl_root" >added
layer "$curl_root" curl-layer.tar "${downloads[@]}" --no-recursion --null --files-from="$work/added"

echo '| image | bytes | files | layers | in zstd | errors | warnings | data missed |'
echo '|---|--:|--:|--:|--:|--:|--:|--:|'
compare hello ./hello /usr/local/bin/hello hello-layer.tar
compare curl /usr/bin/curl /usr/bin/curl curl-layer.tar
