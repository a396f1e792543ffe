//! What a rule that the kernel has really sees.

/// A loaded rule in either of auditctl's forms, as `auditctl -l` shows it.
pub struct Rule<'a> {
    words: Vec<&'a str>,
}

impl<'a> Rule<'a> {
    /// Of one line.
    pub fn of(line: &'a str) -> Self {
        Self { words: line.split_whitespace().collect() }
    }

    fn after(&self, flag: &str) -> impl Iterator<Item = &'a str> {
        self.words.windows(2).filter(move |pair| pair[0] == flag).map(|pair| pair[1])
    }

    fn fields(&self) -> impl Iterator<Item = &'a str> {
        self.after("-F")
    }

    fn field(&self, name: &str) -> Option<&'a str> {
        self.fields().find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether nothing but daemons, which have no login, escapes it: other conditions narrow it.
    fn is_wide(&self) -> bool {
        self.fields().all(|field| {
            let (name, _) = field.split_at(field.find(['=', '!', '<', '>']).unwrap_or(field.len()));
            match name {
                "auid" => matches!(field, "auid!=-1" | "auid!=unset" | "auid!=4294967295" | "auid>=0"),
                "path" | "dir" | "perm" | "key" | "arch" => true,
                _ => false,
            }
        })
    }

    fn writes_down(&self) -> bool {
        !self.after("-a").chain(self.after("-A")).any(|list| list.contains("never") || !list.contains("exit"))
    }

    fn is_native(&self) -> bool {
        self.field("arch").is_none_or(|arch| matches!(arch, "b64" | "x86_64"))
    }

    /// Whether writes below a path are written down.
    pub fn watches(&self, path: &str) -> bool {
        let trimmed = |word: &str| word.trim_end_matches('/').to_owned();
        let place = self.after("-w").next().or_else(|| self.field("dir")).or_else(|| self.field("path"));
        let access = self.after("-p").next().or_else(|| self.field("perm")).unwrap_or("rwxa");
        // audit 4 names the calls that `perm` stands for.
        let calls = self.after("-S").all(|calls| {
            calls == "all"
                || ["openat", "renameat2", "unlinkat"].iter().all(|call| calls.split(',').any(|it| it == *call))
        });
        place.is_some_and(|place| trimmed(place) == trimmed(path))
            && access.contains('w')
            && calls
            && self.is_native()
            && self.writes_down()
            && self.is_wide()
    }

    /// Whether a 64-bit system call is written down. The clock's may be narrowed to the one that is set, `a0=0`.
    pub fn sees_call(&self, call: &str) -> bool {
        let clock = |field: &&str| matches!(*field, "a0=0" | "a0=0x0");
        let narrow = self
            .fields()
            .filter(|field| !clock(field))
            .any(|field| field.starts_with('a') && field.as_bytes()[1].is_ascii_digit());
        self.is_native()
            && self.after("-S").any(|calls| calls.split(',').any(|found| found == call))
            && self.writes_down()
            && !narrow
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn both_forms_of_a_rule_are_read() {
        for (rule, sees) in [
            ("-w /etc/pve -p wa -k pve-config", true),
            ("-w /etc/pve/ -p wa", true),
            ("-a always,exit -S all -F dir=/etc/pve/ -F perm=wa -F key=x", true),
            ("-a always,exit -S all -F dir=/etc/pve -F perm=wa -F auid!=-1 -F key=x", true),
            ("-a always,exit -S all -F dir=/etc/pve -F perm=wa -F auid>=1000 -F key=x", false),
            ("-a always,exit -S all -F dir=/etc/pve -F perm=wa -F uid=33", false),
            ("-a always,exit -F arch=b64 -S openat -F path=/etc/pve -F perm=w", false),
            (
                "-a always,exit -F arch=b64 -S open,rename,unlink,openat,unlinkat,renameat2 -F dir=/etc/pve -F perm=wa",
                true,
            ),
            ("-a always,exit -F arch=b32 -S all -F dir=/etc/pve -F perm=wa", false),
            ("-w /etc/pve -p r -k x", false),
            ("-w /etc/pvelib -p wa", false),
            ("-a never,exit -F dir=/etc/pve -F perm=wa", false),
            ("No rules", false),
        ] {
            assert_eq!(Rule::of(rule).watches("/etc/pve"), sees, "{rule}");
        }
    }

    #[test]
    fn a_call_is_seen_on_its_own_architecture() {
        for (rule, sees) in [
            ("-a always,exit -F arch=b64 -S init_module,delete_module,finit_module -F key=m", true),
            ("-a always,exit -F arch=b32 -S init_module,finit_module -F key=m", false),
            ("-a never,exit -F arch=b64 -S finit_module", false),
            ("-a always,exit -F arch=b64 -S finit_module -F a0=3", false),
            ("-w /usr/bin/kmod -p x", false),
        ] {
            assert_eq!(Rule::of(rule).sees_call("finit_module"), sees, "{rule}");
        }
    }
}
