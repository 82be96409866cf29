#!/usr/bin/env bash
# Builds the Debian package and prints its path.
#
#   packaging/deb.sh            the release build, in target/debian
#   packaging/deb.sh --dev      the package around the debug build that the tests use, in target/package
#
# cargo-deb is installed into target/tools when it is not there (about a minute).
set -euo pipefail
cd "$(dirname "$0")/.."
version=3.8.0 tool=$PWD/target/tools/bin/cargo-deb

if [[ $("$tool" --version 2>/dev/null) != *"$version"* ]]; then
  echo "deb: installing cargo-deb $version" >&2
  # unoptimised: building it takes a third of the time
  CARGO_PROFILE_DEV_DEBUG=0 cargo install -q --debug cargo-deb --version "$version" --locked --root target/tools >&2
fi
case ${1:-} in
  '')
    cargo build -q --release --locked >&2
    deb=$("$tool" -q --no-build --strip --output target/debian/)
    echo "$deb"
    size=$(dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/bin/lanlord | wc -c)
    ((size <= 40 << 20)) || { echo "deb: the binary has $size bytes; 40 MiB are possible" >&2; exit 1; }
    ;;
  --dev)
    # cargo-deb knows no debug profile: it is given a target directory of its own in which the debug build lies as "release".
    cargo build -q --locked >&2
    mkdir -p target/package/build/release
    ln -f target/debug/lanlord target/package/build/release/lanlord
    CARGO_TARGET_DIR=$PWD/target/package/build "$tool" -q --no-build --strip --fast --output target/package/lanlord.deb
    ;;
  *) echo "deb: unknown option $1" >&2; exit 2 ;;
esac
