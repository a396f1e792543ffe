//! `logs.*`: what is written down, how long it stays, and where else it goes.

mod forward;
mod journal;
mod logrotate;
mod retention;
#[cfg(test)]
mod tests;

pub use forward::FORWARD;
pub use journal::JOURNAL;
pub use retention::RETENTION;
