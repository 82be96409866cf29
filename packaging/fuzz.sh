#!/usr/bin/env bash
# Runs every fuzz target, or those named, for the given number of seconds each. What is found new stays in
# target/fuzz/corpus; a crash leaves its input in fuzz/artifacts and fails the run, after the other targets.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60} version=0.13.2 tool=$PWD/target/tools/bin/cargo-fuzz
shift || true

if [[ $("$tool" --version 2>/dev/null) != *"$version"* ]]; then
  cargo install -q cargo-fuzz --version "$version" --locked --root target/tools
fi
# The address sanitizer's own memory counts: 256 MiB for us, and as much for it.
limits=(-max_total_time="$seconds" -max_len=65536 -rss_limit_mb=512 -timeout=1)
export RUSTC_BOOTSTRAP=1
(($#)) || mapfile -t targets < <("$tool" list)
failed=()
for target in "${@:-${targets[@]}}"; do
  echo "== $target"
  mkdir -p "target/fuzz/corpus/$target"
  "$tool" run --target-dir target/fuzz/build "$target" "target/fuzz/corpus/$target" "fuzz/corpus/$target" -- "${limits[@]}" ||
    failed+=("$target")
done
((${#failed[@]} == 0)) || { echo "fuzz: failed: ${failed[*]}" >&2; exit 1; }
