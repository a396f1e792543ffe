//! `web.*`: pveproxy (8006) and spiceproxy (3128).
//!
//! `web.allow-from` and `web.tls` share /etc/default/pveproxy: each says which settings it needs ([`file::Part`]), and
//! both emit the same file change.

mod allow_from;
mod consent;
mod file;
mod listen;
#[cfg(test)]
mod tests;
mod tls;

pub use allow_from::ALLOW_FROM;
pub use consent::CONSENT;
pub use listen::LISTEN;
pub use tls::{TLS, questions};
