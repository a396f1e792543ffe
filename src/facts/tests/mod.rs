//! Tables: what a node may answer, and what is made of it.

mod accounts;
mod files;
mod properties;
mod sshd_and_pam;
mod system;

use super::{Facts, Reading};
use crate::transport::capture::{Capture, Section};

/// A capture of (name, status, body).
fn capture(sections: &[(&str, i32, &str)]) -> Capture {
    let section = |&(name, status, body): &(&str, i32, &str)| {
        (name.to_owned(), Section { status, body: body.as_bytes().to_vec() })
    };
    Capture { sections: sections.iter().map(section).collect() }
}

fn facts(sections: &[(&str, i32, &str)]) -> Facts {
    super::parse(&capture(sections))
}

/// One section that succeeded.
fn of(name: &str, body: &str) -> Facts {
    facts(&[(name, 0, body)])
}

/// The reason of an unreadable reading.
fn reason<T: std::fmt::Debug>(reading: &Reading<T>) -> &str {
    match reading {
        Reading::Unreadable(why) => why,
        other => panic!("readable: {other:?}"),
    }
}

/// A capture that holds these files.
fn with_files(files: &[(&str, &str)]) -> Capture {
    use std::fmt::Write as _;

    use sha2::{Digest as _, Sha256};
    let (mut list, mut digests, mut text) = (String::new(), String::new(), String::new());
    for (path, content) in files {
        let digest = super::files::hex(&Sha256::digest(content));
        writeln!(list, "f\tf\t644\troot\troot\t{}\t1700000000.5\t{path}\t", content.len()).unwrap();
        writeln!(digests, "{digest}  {path}").unwrap();
        write!(text, "{}==> {path} <==\n{content}", if text.is_empty() { "" } else { "\n" }).unwrap();
    }
    capture(&[("files.list", 0, &list), ("files.digests", 0, &digests), ("files.text", 0, &text)])
}

#[test]
fn an_empty_capture_asked_nothing() {
    let facts = facts(&[]);
    assert_eq!(facts, Facts::default());
}

#[test]
fn captures_survive_json() {
    let mut capture = capture(&[("a", 0, "text\n\0\u{1b}[31m"), ("b", -7, "")]);
    capture.sections.insert("c".into(), Section { status: 1, body: vec![0xff, 0, 0xfe] });
    let json = serde_json::to_string(&capture).unwrap();
    assert!(json.contains(r#""base64":"/wD+""#) && json.contains(r#""text":"text\n"#), "{json}");
    assert_eq!(serde_json::from_str::<Capture>(&json).unwrap(), capture);
}
