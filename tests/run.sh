#!/usr/bin/env bash
# `make test`: formatting, lints, every cargo test (unit, property, scenario, golden, simulation, lab, API), the
# licences of what is linked in, the package under a booted systemd, the demo.
# A failing step does not hide the next ones. The last line counts: "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never RUST_BACKTRACE=1
# A fresh clone builds once: incremental state would only cost time and disk.
if [[ ${CI:-} == true ]]; then export CARGO_INCREMENTAL=0; fi

mkdir -p target
passed=0 failed=0 failures=()

# step NAME SECONDS COMMAND...: one bounded step, counted as one test.
step() {
  local name=$1 bound=$2 t0=$SECONDS
  shift 2
  echo "== $name"
  if timeout -k 30 "$bound" "$@" < /dev/null; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$name")
  fi
  echo "== $name: $((SECONDS - t0)) s"
}

# cargo_tests: every test target; each test counts.
cargo_tests() {
  local log=target/test.log t0=$SECONDS rc ok bad
  echo "== cargo test"
  timeout -k 30 "${TEST_SECONDS:-4200}" cargo test --locked --no-fail-fast < /dev/null 2>&1 | tee "$log"
  rc=${PIPESTATUS[0]}
  ok=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$log")
  bad=$(awk '/^test result:/ { n += $6 } END { print n + 0 }' "$log")
  if ((rc != 0 && bad == 0)); then bad=1; fi # did not build, was killed, or crashed
  if ((rc == 0 && ok == 0)); then bad=1; fi
  passed=$((passed + ok))
  failed=$((failed + bad))
  if ((bad)); then failures+=("cargo test"); fi
  echo "== cargo test: $((SECONDS - t0)) s"
}

step format 60 cargo fmt --check
step lints 1800 cargo clippy --locked --all-targets -- -D warnings
step licences 1800 packaging/deny.sh
cargo_tests
step package 1800 packaging/test.sh
step demo 300 env ONCE=1 demo/demo.sh

if ((failed)); then echo "failed: ${failures[*]}"; fi
echo "$passed passed, $failed failed"
((failed == 0))
