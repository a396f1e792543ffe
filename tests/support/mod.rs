//! What several tests need.

pub mod lab;
pub mod run;
pub mod sshd;

/// A test whose prerequisite is missing says so; under CI=true that is a failure.
pub fn skip(why: &str) {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "nothing is skipped under CI: {why}");
    eprintln!("SKIPPED: {why}");
}
