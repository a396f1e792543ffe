//! The profiles for /usr/share/pam-configs. Three, because pam-auth-update knows one place per profile: the check goes
//! above every way to log in, the counting below all of them, the reset after the block, where success lands.
//!
//! `pam_unix`'s jump goes over the counting (pam-auth-update counts the lines for `end`). The three controls differ,
//! because pam-auth-update tells lines apart by control and module only when it looks for local changes.

/// A file in /usr/share/pam-configs.
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What the menu of pam-auth-update shows.
    pub title: &'static str,
    priority: u32,
    block: &'static str,
    rule: &'static str,
}

/// All of them.
pub const ALL: [Profile; 3] = [
    Profile {
        name: "pve-harden-faillock",
        title: "refuse accounts that are locked after wrong passwords",
        priority: 1024,
        block: "Primary",
        rule: "requisite pam_faillock.so preauth",
    },
    // After counting the module answers "ignore", and pam_deny below gives the ordinary answer to a wrong password;
    // with a bare [default=die] it would be "permission denied".
    Profile {
        name: "pve-harden-faillock-count",
        title: "count wrong passwords",
        priority: 0,
        block: "Primary",
        rule: "[ignore=ignore default=die] pam_faillock.so authfail",
    },
    Profile {
        name: "pve-harden-faillock-reset",
        title: "forget wrong passwords after a right one",
        priority: 1024,
        block: "Additional",
        rule: "required pam_faillock.so authsucc",
    },
];

impl Profile {
    /// Where it lies.
    pub fn path(&self) -> String {
        format!("/usr/share/pam-configs/{}", self.name)
    }

    /// Its content.
    pub fn text(&self) -> String {
        let Self { title, priority, block, rule, .. } = self;
        format!("Name: pve-harden: {title}\nDefault: no\nPriority: {priority}\nAuth-Type: {block}\nAuth:\n\t{rule}\n")
    }
}
