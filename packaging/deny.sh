#!/usr/bin/env bash
# Licences, sources and bans of everything that is linked in, and its advisories (deny.toml).
#
# cargo-deny is installed into target/tools when it is not there. Without a way to the advisory database that part is
# left out with a word: the rest must hold everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2 tool=$PWD/target/tools/bin/cargo-deny

if [[ $("$tool" --version 2>/dev/null) != *"$version"* ]]; then
  echo "deny: installing cargo-deny $version" >&2
  # unoptimised: it runs for seconds, and building it takes a third of the time
  CARGO_PROFILE_DEV_DEBUG=0 cargo install -q --debug cargo-deny --version "$version" --locked --root target/tools >&2
fi
"$tool" --locked check licenses bans sources
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if timeout -k 5 120 "$tool" --locked check advisories > "$log" 2>&1; then
  cat "$log"
elif grep -qE 'failed to fetch advisory database|failed to load advisory database' "$log"; then
  echo "deny: the advisory database cannot be had from here: advisories not checked" >&2
else
  cat "$log" >&2
  exit 1
fi
