//! `bruteforce.*`: sources that guess passwords are shut out for a while.

mod fail2ban;
mod files;
mod proxy;
#[cfg(test)]
mod tests;

pub use fail2ban::FAIL2BAN;
pub use files::{JAILS, never_banned};
