#!/usr/bin/env bash
# Runs every fuzz target for the given number of seconds. A crash leaves its input in fuzz/artifacts and fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60} version=0.13.2 tool=$PWD/target/tools/bin/cargo-fuzz

if [[ $("$tool" --version 2>/dev/null) != *"$version"* ]]; then
  cargo install -q cargo-fuzz --version "$version" --locked --root target/tools
fi
export RUSTC_BOOTSTRAP=1
for target in $("$tool" list); do
  echo "== $target"
  "$tool" run "$target" -- -max_total_time="$seconds" -rss_limit_mb=256 -timeout=1
done
