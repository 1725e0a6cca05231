#!/bin/sh
# Builds a release in target/release-files: for each target an archive of static programs with completions and
# manual pages, with --deb a Debian package of them, and SHA256SUMS.
#
# Usage: ./release.sh [--deb] [--no-default-features] [TARGET...]
#
# Targets are x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu, both by default; each needs its Rust target, and
# on another architecture its C compiler (gcc-aarch64-linux-gnu). --deb needs cargo-deb.
# --no-default-features builds slimpack alone and without registries, which is a fifth smaller.
set -eu
cd "$(dirname "$0")"

features='' deb='' targets='' programs='slimpack cargo-slimpack'
for word; do
    case $word in
        --deb) deb=yes ;;
        --no-default-features) features=$word programs=slimpack ;;
        *-unknown-linux-gnu) targets="$targets $word" ;;
        *) echo "release.sh: $word is neither an option nor a target of Linux with glibc" >&2; exit 2 ;;
    esac
done
if [ -n "$deb" ] && [ -n "$features" ]; then
    echo "release.sh: the package has cargo-slimpack, too; drop --no-default-features" >&2
    exit 2
fi
: "${targets:=x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu}"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# Cargo.toml has these paths, too.
files=target/release-files
pages=target/release-pages
unset CARGO_TARGET_DIR
# The time of everything in an archive.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="${CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER:-aarch64-linux-gnu-gcc}"
rm -rf "$files" "$pages"
mkdir -p "$files" "$pages/man" "$pages/completions"

# The same bytes wherever the source and cargo's home are.
build() { # TARGET
    flags="-C target-feature=+crt-static --remap-path-prefix=$PWD=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    case $1 in
        # Half a megabyte less; requires glibc 2.36, and LLD, the linker of Rust 1.90 and newer for this target.
        x86_64-*) flags="$flags -C link-arg=-Wl,-z,pack-relative-relocs,--icf=all" ;;
    esac
    # shellcheck disable=SC2086 # No word if empty.
    RUSTFLAGS=$flags cargo build --profile dist --locked $features --target "$1"
}

pages_of() { # PROGRAM
    "$1" man "$pages/man"
    for shell in bash zsh fish; do
        "$1" completions "$shell" > "$pages/completions/slimpack.$shell"
    done
}

archive() { # TARGET
    name=slimpack-$version-$1
    mkdir "$files/$name"
    for program in $programs; do
        cp "target/$1/dist/$program" "$files/$name/"
    done
    cp -r README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$pages/man" "$pages/completions" "$files/$name/"
    tar -C "$files" --sort=name --owner=0 --group=0 --numeric-owner --mode=u+w,go-w,a+rX --mtime="@$SOURCE_DATE_EPOCH" \
        -cf - "$name" | gzip -9n > "$files/$name.tar.gz"
    rm -r "${files:?}/$name"
}

package() { # TARGET
    { echo "slimpack ($version) unstable; urgency=medium"
      echo
      echo '  * See /usr/share/doc/slimpack/CHANGELOG.md.'
      echo
      echo " -- $(sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
    } > "$pages/changelog"
    { echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
      printf '\nFiles: *\nCopyright: %s\nLicense: MIT or Apache-2.0\n' "$(sed -n 's/^Copyright (c) //p' LICENSE-MIT)"
      printf '\nLicense: MIT\n'
      sed '1,4d; s/^$/./; s/^/ /' LICENSE-MIT
      printf '\nLicense: Apache-2.0\n The text is in /usr/share/common-licenses/Apache-2.0.\n'
    } > "$pages/copyright"
    # It runs on every Debian, and in stages of Dockerfiles of any distribution.
    printf 'slimpack: statically-linked-binary [usr/bin/%s]\n' slimpack cargo-slimpack > "$pages/lintian-overrides"
    cargo deb --no-build --no-strip --locked --profile dist --target "$1" --output "$files/"
}

# shellcheck disable=SC2086 # Each is a word.
for target in $targets; do
    build "$target"
done
# Manual pages and completions are those of the program that runs here.
pages_of "target/$(uname -m)-unknown-linux-gnu/dist/slimpack"
# shellcheck disable=SC2086
for target in $targets; do
    archive "$target"
    if [ -n "$deb" ]; then
        package "$target"
    fi
done
cd "$files"
LC_ALL=C sha256sum -- * > SHA256SUMS
