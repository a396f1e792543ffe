//! `accounts.*`: who administers the node, and the way in that is left when everything else fails.

mod admin;
mod ending;
mod keys;
mod leaver;
mod password;
mod person;
mod root_password;
pub mod rotation;
mod sudoers;
#[cfg(test)]
mod tests;
mod work;

pub use admin::ADMIN;
pub use ending::{AHEAD, Ending};
pub use password::needs_password;
pub use root_password::ROOT_PASSWORD;

/// Whether a name is one that useradd(8) takes on Debian and that may stand in sudoers and sshd's files as it is.
pub fn login_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && name.len() <= 32
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
}

/// Whole days since 1970 of a point in time, as /etc/shadow counts them.
fn day(time: jiff::Timestamp) -> i64 {
    time.as_second().div_euclid(86_400)
}
