//! A node may answer anything: nothing panics, and what was damaged is not taken for what was read.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::facts::sshd::{directives, includes_dropins, settings};

static RECORDED: LazyLock<Capture> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../tests/probes/pve9-cluster.json")).unwrap());
static WHOLE: LazyLock<Facts> = LazyLock::new(|| crate::facts::parse(&RECORDED));

fn section_names() -> Vec<String> {
    RECORDED.sections.keys().cloned().collect()
}

/// Arbitrary bytes, and text made of what the formats are made of.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let words = r#"(root|ops|hash|locked|none|path |real |fstype |key |asked |f|l|d|==> |/etc/a| <==|find: |'|: |No such file or directory|10\.0\.0\.1|::1|/24|%|\[|\]|\*|:22|port 22|Include|Match|auth|@include|\\|\(|\)|ALL|NOPASSWD:|!|,|OpenSSH_|9\.|\{|\}|"|=|[0-9]{1,20}|\t|\n| |:)*"#;
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        words.prop_map(String::into_bytes),
        "\\PC*".prop_map(String::into_bytes)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_sections_do_not_panic(
        sections in proptest::collection::btree_map(proptest::sample::select(section_names()), (prop_oneof![Just(0), Just(0), any::<i32>()], body()), 0..12)
    ) {
        let sections = sections.into_iter().map(|(name, (status, body))| (name, Section { status, body })).collect();
        let capture = Capture { sections };
        let facts = crate::facts::parse(&capture);
        let json = serde_json::to_string(&facts).unwrap();
        prop_assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), facts);
        let json = serde_json::to_string(&capture).unwrap();
        prop_assert_eq!(serde_json::from_str::<Capture>(&json).unwrap(), capture);
    }

    #[test]
    fn sshd_text_does_not_panic(text in "(\\PC|[\"'\\\\=# \t\n]|Include|Match)*") {
        let _ = directives(&text);
        let _ = includes_dropins(&text);
        let _ = settings(&text);
    }

    #[test]
    fn settings_come_back_as_printed(lines in proptest::collection::btree_map("[a-z][a-z0-9]{0,12}", "[ -~]{0,20}", 0..20)) {
        let mut text = String::from("port 22\n");
        for (keyword, value) in lines.iter().filter(|(keyword, _)| *keyword != "port") {
            text.extend([keyword.as_str(), " ", value, "\n"]);
        }
        let parsed = settings(&text).unwrap();
        for (keyword, value) in lines.iter().filter(|(keyword, _)| *keyword != "port") {
            prop_assert_eq!(&parsed[keyword], value);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_real_capture_may_be_cut_and_spoilt_anywhere(
        name in proptest::sample::select(section_names()), at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let mut capture = RECORDED.clone();
        let body = &mut capture.sections.get_mut(&name).unwrap().body;
        if !body.is_empty() {
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = byte }
        }
        let facts = crate::facts::parse(&capture);
        // Contents are bound by digests: whatever was spoilt, no content is another one.
        if name == "files.text" {
            for (path, reading) in &facts.files {
                if let Reading::Known(file) = reading {
                    prop_assert_eq!(Some(file), WHOLE.files[path].known());
                }
            }
        }
    }

    #[test]
    fn a_failed_section_is_never_absent_nor_known(name in proptest::sample::select(section_names()), status in 1..127i32) {
        let mut capture = RECORDED.clone();
        let section = capture.sections.get_mut(&name).unwrap();
        section.status = status;
        let facts = crate::facts::parse(&capture);
        match name.as_str() {
            "packages" => prop_assert!(matches!((&facts.packages, &facts.pve), (Reading::Unreadable(_), Reading::Unreadable(_)))),
            "listeners" => prop_assert!(matches!(facts.listeners, Reading::Unreadable(_))),
            "shadow" => prop_assert!(matches!(facts.accounts.shadow, Reading::Unreadable(_))),
            "addresses" => prop_assert!(matches!(facts.addresses, Reading::Unreadable(_))),
            "root-logins" => prop_assert!(matches!(facts.root_logins, Reading::Unreadable(_))),
            "sshd.global" => prop_assert!(matches!(facts.sshd.global, Reading::Unreadable(_))),
            _ => {}
        }
    }
}
