# The commands of the README. Each installs what it needs on a Debian 12 with the Rust toolchain, as root.
# The bounds can be raised from outside: `make soak KILLS=1000`, `make bench ROUNDS=9 SECONDS=30`.

.PHONY: help setup test demo bench soak fuzz deb

help:
	@echo "make test          everything, from nothing: format, lints, tests, lab, package"
	@echo "make demo [ONCE=1] a private virtual LAN with phones, a PC and lanlord between them"
	@echo "make bench         lanlord beside Kea, dnsmasq and NSD; writes benches/RESULTS.md"
	@echo "make soak          the tests at full size (hours): SEEDS, KILLS, RACE, ... override"
	@echo "make fuzz          every fuzz target for FUZZ_SECONDS (60) each"
	@echo "make deb           target/debian/lanlord_*.deb"

setup:
	packaging/setup.sh test
	packaging/firmware.sh

test: setup
	tests/run.sh

deb:
	packaging/setup.sh deb
	packaging/deb.sh

bench:
	packaging/setup.sh bench
	cargo build --release --locked
	cargo bench --locked --bench side_by_side
	cargo bench --locked --bench dhcp_families
	cargo bench --locked --bench dhcp_costs
	cargo bench --locked --bench ledger_costs

demo:
	packaging/setup.sh demo
	cargo build --locked
	demo/demo.sh

# The tests at full size. Each bound can be set from outside.
soak: export SEEDS ?= 20000
soak: export KILLS ?= 1000
soak: export SWEEP ?= 65536
soak: export TIMING ?= 10000
soak: export RACE ?= 10000
soak: export CROWD ?= 1000
soak: export RELOADS ?= 500
soak: export BAD_RELOADS ?= 200
soak: export FLOOD_SECONDS ?= 60
soak: export FORGED ?= 10000
soak: export CLOCKS ?= 1000000
soak: export POINTS ?= 10000
soak: export FLAPS ?= 200
soak: export FIRMWARE ?= all
soak: export TEST_SECONDS ?= 86400
# times that requirements give are held to
soak: export STRICT ?= 1
soak: setup
	tests/run.sh

# cargo-fuzz works on the stable toolchain with RUSTC_BOOTSTRAP.
FUZZ_SECONDS ?= 60
fuzz:
	packaging/setup.sh fuzz
	packaging/fuzz.sh $(FUZZ_SECONDS)
