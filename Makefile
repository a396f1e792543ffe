# Two commands do all the set-up on a fresh Debian or Ubuntu machine: `make demo` and `make test`, both as root
# because lab nodes are real systems in namespaces.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: nft-tests many-nodes test-oracle scan vagrant-lab demo test check unit lab-tests vm-tests fault-tests bench bench-peers prerequisites build install docs clean

CARGO ?= cargo
export PATH := $(HOME)/.cargo/bin:$(PATH)

# A fresh lab node is hardened before your eyes, and taken down again.
demo: prerequisites build
	tests/tools/demo

# Everything: format, lints, shell scripts, unit and property tests, then the tests against lab nodes.
test: prerequisites check unit lab-tests

prerequisites:
	@tests/tools/prerequisites $(firstword $(MAKECMDGOALS))

build:
	$(CARGO) build --quiet
	$(CARGO) build --quiet -p pve-sim

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	tests/tools/shellcheck

unit:
	$(CARGO) test --workspace --lib --bins

lab-tests: build
	tests/tools/lab-tests

# Parts of lab-tests by themselves: power cuts and the kernel's audit trail (half an hour of emulated machines), the
# tool killed and the link cut at every line of the journal, and twenty lab nodes planned at once.
vm-tests: prerequisites build
	LAB_VM=1 LAB_SIM_BIN=$(CURDIR)/target/debug/pve-sim $(CARGO) test --test suite -- --test-threads=1 lab_tests::power lab_tests::audit

fault-tests: prerequisites build
	LAB_SIM_BIN=$(CURDIR)/target/debug/pve-sim $(CARGO) test --test suite every_step

many-nodes: prerequisites build
	LAB_TWENTY=1 LAB_SIM_BIN=$(CURDIR)/target/debug/pve-sim $(CARGO) test --test suite twenty_nodes

# Nodes whose firewall is proxmox-firewall, by themselves; with PVE_NFT=PROGRAM a real one (docs/oracle.md).
nft-tests: prerequisites build
	LAB_SIM_BIN=$(CURDIR)/target/debug/pve-sim $(CARGO) test --test suite -- --test-threads=1 nftables_agrees a_node_with_nftables

# The firewall's model against a real pve-firewall: this machine's, or that of ORACLE=root@NODE.
test-oracle:
	@tests/tools/test-oracle

# Ratios against bare ssh in the same run; absolute times mean nothing on a shared machine. docs/benchmarks.md keeps one.
bench: prerequisites
	tests/tools/bench
	tests/tools/bench-fleet

# Scanners that nobody here wrote, on a lab node before and after: docs/scans.md keeps one.
scan: prerequisites build
	tests/tools/scan

# Real Proxmox VE in virtual machines of this computer (vagrant/README.md): PVE=8 for the older release, NODES=3 for a cluster.
vagrant-lab: build
	cd vagrant && vagrant up

# The same, beside Ansible and pyinfra doing comparable work, where they are installed.
bench-peers: prerequisites
	tests/tools/bench --peers

# Generated pages: docs/controls.md and the manual pages.
docs: build
	tests/tools/docs

install:
	$(CARGO) install --locked --path .

clean:
	tests/tools/clean
