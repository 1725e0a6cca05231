#!/bin/sh
# Reading and linting a large image, against a SHA-256 of its bytes, tar, libtree and gunzip.
#
#   benches/images.sh ROOT
#
# ROOT is a root directory, as made by debootstrap. Needs hyperfine, tar, gzip, openssl and skopeo;
# libtree is optional. Look at the ratios, not at the times.
set -eu
root=${1:?usage: benches/images.sh ROOT}
slimpack=${SLIMPACK:-target/release/slimpack}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tar --numeric-owner -C "$root" -cf "$work/root.tar" .
mkdir -p "$work/layout/blobs/sha256"
python3 - "$work" <<'PYTHON'
import hashlib, json, os, shutil, sys
work = sys.argv[1]
def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    open(f"{work}/layout/blobs/sha256/{digest}", "wb").write(data)
    return "sha256:" + digest, len(data)
layer = open(f"{work}/root.tar", "rb").read()
layer_digest, layer_size = blob(layer)
config = {"architecture": "amd64", "os": "linux", "config": {},
          "rootfs": {"type": "layers", "diff_ids": [layer_digest]}}
config_digest, config_size = blob(json.dumps(config).encode())
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": config_digest, "size": config_size},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": layer_digest, "size": layer_size}]}
digest, size = blob(json.dumps(manifest).encode())
index = {"schemaVersion": 2, "manifests": [{
    "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
    "annotations": {"org.opencontainers.image.ref.name": "root"}}]}
json.dump(index, open(f"{work}/layout/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(f"{work}/layout/oci-layout", "w"))
PYTHON
tar -C "$work/layout" -cf "$work/image.tar" .
gzip -6 -k "$work/root.tar"
find "$root" -type f -exec sh -c 'head -c 4 "$1" | grep -q ELF' _ {} \; -print >"$work/elf"

echo "indexing a root's tar: against tar -tf"
hyperfine -N -w2 "tar -tf $work/root.tar" "$slimpack tree --from $work/root.tar /bin/sh"
echo "an image archive: against a SHA-256 of its bytes"
hyperfine -N -w2 "openssl dgst -sha256 $work/image.tar" \
    "$slimpack inspect $work/image.tar" "$slimpack lint $work/image.tar --fail-on never"
echo "a compressed one: against gunzip | sha256sum"
hyperfine -w1 -r4 "gunzip -c $work/root.tar.gz | sha256sum" "$slimpack inspect $work/root.tar.gz"
echo "lint of a root's tar: against tar -tf and libtree over the same files"
if command -v libtree >/dev/null; then
    # By default, libtree skips the libraries that every system has; -vvv shows all.
    hyperfine -w1 -i "tar -tf $work/root.tar && xargs libtree <$work/elf" \
        "tar -tf $work/root.tar && xargs libtree -vvv <$work/elf" \
        "$slimpack lint $work/root.tar --fail-on never"
fi
echo "peak memory in KB"
for image in root.tar image.tar root.tar.gz; do
    for verb in inspect lint; do
        /usr/bin/time -f "%M $verb $image" "$slimpack" "$verb" "$work/$image" >/dev/null || true
    done
done
