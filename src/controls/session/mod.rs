//! `session.*`: interactive shells, and the notice before a login.

pub mod notice;
mod shells;
#[cfg(test)]
mod tests;
mod timeout;
mod umask;

pub use notice::NOTICE;
pub use timeout::TIMEOUT;
pub use umask::UMASK;
