//! Steps of `cert.*` as words and data for `remote/cert.sh`.

use crate::change::certificate::CertStep;

/// The kind of the step, its words, and files below `data/` by their endings. Secrets are in files only.
pub(super) fn step(step: &CertStep) -> (&'static str, Vec<String>, Vec<(&'static str, String)>) {
    let flag = |on: bool, yes: &str, no: &str| (if on { yes } else { no }).to_owned();
    match step {
        CertStep::Trust { path, pem } => ("cert-trust", vec![path.clone()], vec![("after", pem.clone())]),
        CertStep::Account { name, directory, contact, binding, known } => {
            let mut data = Vec::new();
            if let Some(binding) = binding {
                data.push(("secret", format!("{}\n{}\n", binding.id, binding.key.expose())));
            }
            let words = vec![
                format!("/etc/pve/priv/acme/{name}"),
                name.clone(),
                directory.clone(),
                contact.clone(),
                flag(*known, "update", "register"),
            ];
            ("cert-account", words, data)
        }
        CertStep::Plugin { id, api, data, delay, known } => {
            let words = vec![
                "/etc/pve/priv/acme/plugins.cfg".into(),
                id.clone(),
                api.clone(),
                delay.to_string(),
                flag(*known, "set", "add"),
            ];
            ("cert-plugin", words, vec![("secret", data.expose().to_owned())])
        }
        CertStep::Order { path, rehearsal, names, trusted, patience } => {
            let words = vec![
                path.clone(),
                names.join(","),
                flag(*trusted, "trusted", "any"),
                rehearsal.clone().unwrap_or_default(),
                patience.to_string(),
            ];
            ("cert-order", words, Vec::new())
        }
        CertStep::Upload { path, chain, key, names } => {
            let data = vec![("chain", chain.clone()), ("secret", key.expose().to_owned())];
            ("cert-upload", vec![path.clone(), names.join(",")], data)
        }
    }
}

/// Why a step must not be made, whatever made the plan.
pub(super) fn forbidden(step: &CertStep) -> Option<String> {
    let plain = |word: &str, more: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || more.contains(c))
    };
    let odd = match step {
        CertStep::Trust { .. } => None,
        CertStep::Account { name, directory, contact, .. } => [(name, ""), (directory, ":/?=&%~+"), (contact, "@+,")]
            .into_iter()
            .find(|(word, more)| !plain(word, more))
            .map(|(word, _)| word),
        CertStep::Plugin { id, api, .. } => [id, api].into_iter().find(|word| !plain(word, "")),
        CertStep::Order { rehearsal, names, .. } => rehearsal.iter().chain(names).find(|word| !plain(word, "")),
        CertStep::Upload { names, .. } => names.iter().find(|word| !plain(word, "")),
    };
    odd.map(|word| format!("{word:?} is not a word this tool hands to pvenode"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::certificate::Binding;
    use crate::secret::Secret;

    #[test]
    fn secrets_are_in_no_word() {
        let account = CertStep::Account {
            name: "default".into(),
            directory: "https://ca.example/dir".into(),
            contact: "a@example.com".into(),
            binding: Some(Binding { id: "kid".into(), key: Secret::new("hunter2") }),
            known: false,
        };
        let plugin = CertStep::Plugin {
            id: "dns".into(),
            api: "cf".into(),
            data: Secret::new("CF_Token=hunter2"),
            delay: 30,
            known: true,
        };
        let upload = CertStep::Upload {
            path: CertStep::certificate("pve1"),
            chain: "PEM".into(),
            key: Secret::new("hunter2"),
            names: vec!["a.example.com".into()],
        };
        for one in [account, plugin, upload] {
            let (kind, words, data) = step(&one);
            assert!(!words.join(" ").contains("hunter2"), "{kind}");
            assert!(data.iter().any(|(ending, text)| *ending == "secret" && text.contains("hunter2")), "{kind}");
            assert_eq!(forbidden(&one), None, "{kind}");
            assert!(!format!("{one:?}{}", serde_json::to_string(&one).unwrap()).contains("hunter2"), "{kind}");
        }
    }

    #[test]
    fn odd_words_are_refused() {
        for name in ["", "-x", "a b", "$(x)", "a;b", "../x/y"] {
            let step = CertStep::Order {
                path: CertStep::certificate("pve1"),
                rehearsal: None,
                names: vec![name.into()],
                trusted: true,
                patience: 1,
            };
            assert!(forbidden(&step).is_some(), "{name:?}");
        }
    }

    #[test]
    fn a_rehearsal_that_was_cut_is_taken_back_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(run.join("before/004")).unwrap();
        std::fs::write(run.join("before/004/path"), format!("{}\n", at("pveproxy-ssl.pem").display())).unwrap();
        std::fs::write(run.join("acme.config"), "acme: account=default\n").unwrap();
        std::fs::write(run.join("acme.rehearsal"), "acme: account=default-staging\n").unwrap();
        let restored = |there: &str| {
            std::fs::write(at("config"), there).unwrap();
            let stubs =
                "on_pmxcfs() { return 1; }\nrestore_path() { :; }\nput_pmxcfs() { cp \"$1\" \"$2\"; }\nRELOADS=\n";
            let text = format!("{stubs}{}\ncert_restore \"$1\"", include_str!("remote/cert.sh"));
            let entry = run.join("before/004");
            let status = std::process::Command::new("sh").args(["-c", &text, "sh"]).arg(entry).status().unwrap();
            assert!(status.success());
            std::fs::read_to_string(at("config")).unwrap()
        };
        assert_eq!(restored("acme: account=default-staging\n"), "acme: account=default\n");
        let edited = "acme: account=default\ndescription: somebody's\n";
        assert_eq!(restored(edited), edited);
        assert_eq!(restored("#note\nacme: account=default-staging\n"), "#note\nacme: account=default\n");
    }

    /// What `pvenode` leaves in its log, in the formats of PVE/RESTEnvironment.pm, PVE/ACME.pm and PVE/Exception.pm.
    #[test]
    fn what_the_ca_said_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("acme.log");
        let words = |text: &str| {
            std::fs::write(&log, text).unwrap();
            let script = "one_line() { tr -c '[:print:]' ' ' | cut -c1-400; }\n".to_owned()
                + include_str!("remote/cert.sh")
                + "\npvenode_words \"$1\"";
            let output = std::process::Command::new("sh").args(["-c", &script, "sh"]).arg(&log).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
        };
        let task =
            |error: &str| words(&format!("Loading ACME account details\nPlacing ACME order\n{error}\nTask {error}\n"));
        let tail = "x".repeat(500);
        let refused = format!(
            "Error: POST to https://ca.example/{tail} {{   \"type\": \"urn:ietf:params:acme:error:rateLimited\",   \"detail\": \
             \"too many certificates already issued for \\\"example.com\\\"\",   \"status\": 429 }}"
        );
        let told = task(&refused);
        let start = "the CA says: too many certificates already issued for \"example.com\"; Error: POST to https://ca.example/xx";
        assert!(told.starts_with(start), "{told}");
        assert_eq!(
            task(
                "Registration failed: Error: POST to https://ca.example/acct {\"detail\":\"bad \\\\ key\",\"subproblems\":[{\"detail\":\"b\"}]}"
            ),
            "the CA says: bad \\ key;b; Registration failed: Error: POST to https://ca.example/acct \
             {\"detail\":\"bad \\\\ key\",\"subproblems\":[{\"detail\":\"b\"}]}"
        );
        assert_eq!(
            task("Error: GET to https://ca.example/dir Can't connect to ca.example:443 (certificate verify failed)"),
            "Error: GET to https://ca.example/dir Can't connect to ca.example:443 (certificate verify failed)"
        );
        assert_eq!(
            task("validating challenge 'https://ca.example/authz/1' failed - status: invalid"),
            "validating challenge 'https://ca.example/authz/1' failed - status: invalid"
        );
        assert_eq!(
            words("400 Parameter verification failed.\nname: ACME account config file 'x' already exists.\n\n"),
            "400 Parameter verification failed. name: ACME account config file 'x' already exists."
        );
        assert!(!task("Error: POST to https://ca.example/ {\"detail\": \"\u{1b}[2J\"}").contains('\u{1b}'));
    }
}
