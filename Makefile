# The commands of the README. Each installs what it needs on a Debian 12 with the Rust toolchain.
.PHONY: test
test:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked
