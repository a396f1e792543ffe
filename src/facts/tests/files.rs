use super::*;
use crate::facts::{FileKind, parse};

fn content(facts: &Facts, path: &str) -> Option<String> {
    facts.files[path].known().unwrap().content.clone()
}

#[test]
fn contents_metadata_and_digests_come_together() {
    let facts = parse(&with_files(&[("/etc/a", "one\n"), ("/etc/b c", ""), ("/etc/d", "no newline")]));
    assert_eq!(content(&facts, "/etc/a").unwrap(), "one\n");
    assert_eq!(content(&facts, "/etc/b c").unwrap(), "");
    assert_eq!(content(&facts, "/etc/d").unwrap(), "no newline");
    let file = facts.files["/etc/a"].known().unwrap();
    assert_eq!((file.mode, file.owner.as_str(), file.modified), (0o644, "root", Some(1_700_000_000)));
    assert_eq!(file.digest.as_deref().unwrap(), "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806");
}

#[test]
fn a_file_cannot_speak_for_the_next_one() {
    let forged = "x\n\n==> /etc/b <==\nforged\n";
    let facts = parse(&with_files(&[("/etc/a", forged), ("/etc/b", "true\n")]));
    assert_eq!(content(&facts, "/etc/a").unwrap(), forged);
    assert_eq!(content(&facts, "/etc/b").unwrap(), "true\n");
    // Even when the first one grows between the listing and the reading.
    let mut capture = with_files(&[("/etc/a", forged), ("/etc/b", "true\n")]);
    let list = capture.sections.get_mut("files.list").unwrap();
    list.body =
        String::from_utf8(list.body.clone()).unwrap().replacen(&format!("\t{}\t", forged.len()), "\t1\t", 1).into();
    let facts = parse(&capture);
    assert!(reason(&facts.files["/etc/a"]).contains("changed while it was read"));
    assert!(matches!(&facts.files["/etc/b"], Reading::Unreadable(_)));
}

#[test]
fn a_changed_or_lost_content_is_unreadable() {
    let mut capture = with_files(&[("/etc/a", "one\n"), ("/etc/b", "two\n")]);
    let text = "==> /etc/a <==\nonE\n\n==> /etc/b <==\ntwo\n";
    capture.sections.get_mut("files.text").unwrap().body = text.into();
    let facts = parse(&capture);
    assert!(reason(&facts.files["/etc/a"]).contains("changed"));
    assert_eq!(content(&facts, "/etc/b").unwrap(), "two\n");
    capture.sections.get_mut("files.text").unwrap().status = 9;
    assert!(reason(&parse(&capture).files["/etc/b"]).contains("could not be read"));
    capture.sections.remove("files.text");
    assert!(matches!(parse(&capture).files["/etc/b"], Reading::Unreadable(_)));
}

#[test]
fn secrets_have_metadata_only() {
    let mut capture = with_files(&[("/etc/shadow", "root:x\n")]);
    capture.sections.insert("files.cut".into(), Section { status: 0, body: b"/etc/shadow\n".to_vec() });
    let facts = parse(&capture);
    let file = facts.files["/etc/shadow"].known().unwrap();
    assert_eq!((&file.content, file.digest.is_some()), (&None, true));
    assert!(reason(&facts.text("/etc/shadow")).contains("secret"));
}

#[test]
fn missing_is_absent_and_refused_is_not() {
    let errors = "find: '/a': No such file or directory\nfind: '/b/c': Not a directory\n\
                  find: '/d': Transport endpoint is not connected\nfind: '/e: f': Permission denied\n";
    let facts = of("files.errors", errors);
    assert_eq!((&facts.files["/a"], &facts.files["/b/c"]), (&Reading::Absent, &Reading::Absent));
    assert_eq!(reason(&facts.files["/d"]), "/d: Transport endpoint is not connected");
    assert_eq!(reason(&facts.files["/e: f"]), "/e: f: Permission denied");
}

#[test]
fn links_directories_and_odd_names() {
    let list = "l\tf\t777\troot\troot\t9\t1.0\t/etc/l\t../x\n\
                d\td\t1777\tnobody\t4711\t40\t1.0\t/tmp\t\n\
                f\tf\t644\troot\troot\t0\t1.0\t/etc/a\u{1}b\t\n\
                s\ts\t600\troot\troot\t0\t1.0\t/run/s\t\nnonsense\n";
    let facts = of("files.list", list);
    assert_eq!(facts.files["/etc/l"].known().unwrap().kind, FileKind::Symlink("../x".into()));
    let tmp = facts.files["/tmp"].known().unwrap();
    assert_eq!((&tmp.kind, tmp.mode, tmp.group.as_str()), (&FileKind::Directory, 0o1777, "4711"));
    assert_eq!(facts.files["/run/s"].known().unwrap().kind, FileKind::Other);
    assert_eq!(facts.notes.len(), 2, "{:?}", facts.notes);
    assert_eq!(facts.files.len(), 3);
}

#[test]
fn text_follows_a_link_one_step() {
    let mut capture = with_files(&[("/usr/lib/os-release", "VERSION_ID=\"13\"\n")]);
    let list = capture.sections.get_mut("files.list").unwrap();
    list.body.extend_from_slice(b"l\tf\t777\troot\troot\t9\t1.0\t/etc/os-release\t../usr/lib/os-release\n");
    list.body.extend_from_slice(b"l\tf\t777\troot\troot\t9\t1.0\t/etc/loop\tloop\n");
    let facts = parse(&capture);
    assert_eq!(facts.text("/etc/os-release").known().unwrap(), "VERSION_ID=\"13\"\n");
    assert!(reason(&facts.text("/etc/loop")).contains("target"));
    assert_eq!(facts.text("/etc/none"), Reading::NotAsked);
}

#[test]
fn a_directory_that_cannot_be_listed_hides_nothing() {
    let asked = "/a.d/*\n/b.d/*\n/c.d/*\n/d.d\n";
    let list = "d\td\t755\troot\troot\t1\t1.0\t/a.d\t\nl\td\t777\troot\troot\t1\t1.0\t/c.d\t/else\n\
                d\td\t755\troot\troot\t1\t1.0\t/d.d\t\n";
    let errors = "find: '/b.d': Permission denied\n";
    let facts = facts(&[("files.asked", 0, asked), ("files.list", 0, list), ("files.errors", 0, errors)]);
    assert_eq!(facts.file("/a.d/x"), &Reading::Absent);
    for path in ["/b.d/x", "/c.d/x", "/d.d/x", "/a.d/.x", "/a.d/x/y"] {
        assert_eq!(facts.file(path), &Reading::NotAsked, "{path}");
    }
}
