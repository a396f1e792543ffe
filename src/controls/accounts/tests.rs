//! Names and times that reach files of the node.

use proptest::prelude::*;

use super::login_name;
use super::sudoers::render;
use crate::profile::policy::{Policy, Site};

proptest! {
    #[test]
    fn a_login_name_is_one_plain_word(name in "(?s).{0,40}") {
        if login_name(&name) {
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert!(!name.starts_with('-') && !name.is_empty() && name.len() <= 32);
        }
    }

    #[test]
    fn sudo_remembers_as_long_as_the_profile_says(seconds in 0u32..100_000) {
        let mut policy = Policy::from_embedded("baseline", Site::default()).unwrap();
        policy.profile.accounts.admin.sudo_timeout = seconds;
        let text = render(&policy);
        let minutes: f64 = text.split("timestamp_timeout=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        let given = minutes * 60.0;
        prop_assert!(given >= f64::from(seconds) - 1e-6 && given < f64::from(seconds) + 0.6 + 1e-6);
    }
}

#[test]
fn ordinary_names_are_login_names() {
    for name in ["ops", "a", "_svc", "jane-doe", "ops2"] {
        assert!(login_name(name), "{name}");
    }
    for name in ["", "2ops", "-a", "Ops", "a.b", "a$", "a b", "ops\n", &"x".repeat(33)] {
        assert!(!login_name(name), "{name:?}");
    }
}
