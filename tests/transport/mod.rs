//! The transport against real ssh programs.

mod connection;

use std::sync::Arc;

use pve_harden::transport::{Ask, Operator};

/// An operator whose questions come through the built binary.
fn operator(ask: impl Ask + 'static) -> Arc<Operator> {
    Arc::new(Operator::new(ask).through(env!("CARGO_BIN_EXE_pve-harden")))
}

/// Nobody at the terminal.
fn nobody() -> Arc<Operator> {
    Arc::new(Operator::absent().through(env!("CARGO_BIN_EXE_pve-harden")))
}
