//! `session.*`: interactive shells.

mod shells;
#[cfg(test)]
mod tests;
mod timeout;
mod umask;

pub use timeout::TIMEOUT;
pub use umask::UMASK;
