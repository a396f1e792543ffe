//! Bytes and exit codes: one connection to a node, one program on its standard input, frames back. Knows nothing of
//! hardening.
//!
//! ```text
//! let operator = Arc::new(Operator::new(terminal));
//! let connection = Connection::open(&target, &credentials, &operator).await?;
//! let frames = connection.run(&Program::new(include_str!("remote/capture.sh")), Limits::default()).await?;
//! ```

pub mod askpass;
pub mod capture;
mod client;
mod diagnosis;
mod error;
mod exchange;
mod frames;
mod hostkey;
pub mod local;
mod login;
mod operator;
mod program;
mod prompt;
pub mod quote;
mod ssh;
mod target;
mod tls;

use crate::sanitize;
pub use client::Methods;
pub use error::Error;
pub use frames::{Frame, Limits};
pub use login::Credentials;
pub use operator::{Ask, HostKeyOffer, Operator, Question};
pub use program::Program;
pub use ssh::{Connection, OnFrame, fresh_run};
pub use target::{HostKeyPolicy, Target};
pub use tls::tls_answers;
