# kiln: what there is to do, each in one word. `make` alone lists them.

export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help setup build demo test lint bench kde-image kde-demo
help:
	@echo 'make demo    sets this machine up, builds kiln and boots a stock Linux kernel with it'
	@echo 'make test    sets this machine up and runs every test: unit, integration, and in the lab (a nested host with KVM)'
	@echo 'make lint    formatting, clippy, shellcheck, and no rust-vmm crate twice in the tree'
	@echo 'make bench   kiln beside QEMU and virtme-ng: start-up, size, exits'
	@echo 'make kde-image  builds the disk image of a KDE Plasma desktop (five minutes, 6 GB)'
	@echo 'make kde-demo   boots it throw-away, opens a terminal from its menu, types a command, and keeps pictures'
	@echo 'make build   the static binary: target/x86_64-unknown-linux-gnu/release/kiln'
	@echo 'make setup   only sets this machine up (Debian 12, as root)'

setup:
	@tests/setup

build: setup
	cargo build --release

demo: setup
	@tests/demo

test: setup
	cargo test
	cargo test --features window --bin kiln host::display::window
	cargo build --release
	tests/lab/test

# Two versions of one of these do not work together: the types of one are not those of the other.
ONCE := vm-memory|vmm-sys-util|kvm-bindings|kvm-ioctls|virtio-queue|virtio-bindings|linux-loader|vhost

SCRIPTS := tests/setup tests/display/novnc tests/display/vncdotool tests/demo tests/lab/run tests/lab/build tests/lab/rootfs tests/lab/image \
    tests/lab/images/* tests/lab/test tests/lab/setup tests/lab/host/* tests/lab/guest/* tests/lab/clipboard/run \
    tests/lab/clipboard/init tests/lab/clipboard/session tests/lab/cases/*.sh tests/lab/cases/rootfs/*.sh \
    tests/lab/cases/images/*.sh tests/lab/cases/steady/*.sh tests/bench/run tests/bench/disk tests/bench/screen tests/bench/linux \
    tests/bench/linux-guest tests/bench/exec tests/bench/exec-guest .ci/run tests/desktop/image tests/desktop/demo \
    tests/desktop/session tests/desktop/nested

lint: setup
	cargo fmt --check
	rustfmt --check --edition 2024 src/selftest/guest/main.rs tests/bench/disk-guest.rs tests/display/guest.rs
	cargo clippy --all-targets -- -D warnings
	cargo clippy --features window --all-targets -- -D warnings
	@! cargo tree --duplicates --depth 0 --prefix none | grep -E '^($(ONCE)) v' || { echo 'lint: error: these crates are in the tree twice; see cargo tree --duplicates' >&2; exit 1; }
	shellcheck -x -S warning $(SCRIPTS)

kde-image: setup
	@tests/desktop/image

kde-demo: setup
	@tests/desktop/demo

bench: setup
	tests/bench/run
