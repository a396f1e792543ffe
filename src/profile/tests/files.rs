use std::fs;
use std::time::Instant;

use proptest::prelude::*;

use super::{Folder, lint};
use crate::profile::diagnostic::Diagnostics;
use crate::profile::secrets::Secrets;
use crate::profile::site::{self, Purpose};
use crate::profile::source::Source;
use crate::profile::stack::SHIPPED;
use crate::profile::{layer, lint as judge};

#[test]
fn what_is_no_text_file_is_refused_by_name() {
    let folder = Folder::with(&[("latin.toml", "")]);
    fs::write(folder.path("latin.toml"), b"# ok\n# gr\xfc\xdfe\n").unwrap();
    fs::create_dir(folder.path("dir.toml")).unwrap();
    std::os::unix::fs::symlink(folder.path("loop.toml"), folder.path("loop.toml")).unwrap();
    for (name, message) in [
        ("latin.toml", "latin.toml is not UTF-8 text (line 2)"),
        ("dir.toml", "dir.toml is a directory, not a file"),
        ("none.toml", "none.toml does not exist"),
        ("loop.toml", "loop.toml cannot be read"),
    ] {
        assert!(folder.lint(name).contains(message), "{name}: {}", folder.lint(name));
        let as_site = folder.load(&[], Some(name)).unwrap_err().to_string();
        assert!(as_site.contains("site ") && as_site.contains(message), "{as_site}");
    }
}

#[test]
fn a_huge_file_is_refused_without_reading_it() {
    let folder = Folder::with(&[]);
    let file = fs::File::create(folder.path("big.toml")).unwrap();
    file.set_len(10 * 1024 * 1024).unwrap();
    assert!(folder.lint("big.toml").contains("big.toml is too large: 10485760 bytes, at most 1048576 are read"));
}

#[test]
fn a_hostile_file_of_the_greatest_size_ends_soon() {
    // Each once took minutes in some parser: deep nesting, endless errors, one endless line.
    let texts = ["a = ".to_owned() + &"[".repeat(1_000_000), "k = x\n".repeat(170_000), "a".repeat(1_000_000)];
    for text in texts {
        let start = Instant::now();
        assert!(!lint(&text).is_empty());
        assert!(start.elapsed().as_secs() < 60);
    }
}

#[test]
fn many_errors_are_counted_not_shown() {
    let text: String = (0..300).flat_map(|i| ["key".to_owned(), i.to_string(), " = 1\n".to_owned()]).collect();
    let found = lint(&text);
    assert!(found.ends_with("… and 250 more"), "{found}");
}

fn both(text: &str) {
    let source = Source::new("x.toml", text);
    let mut found = Diagnostics::default();
    let layer = layer::parse(&source, &mut found);
    judge::lint(&layer.leaves, &mut found);
    let path = std::path::Path::new("/nonexistent/site.toml");
    site::parse(&source, path, Purpose::Lint, &Secrets::default(), &mut found);
    found.sort();
    let _ = found.render(true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}|[\\x00-\\x7f]{0,80}") {
        both(&text);
    }

    #[test]
    fn almost_toml_never_panics(text in "(\\[{0,2}(ssh|host|admin|run)(\\.limits)?\\]{0,2}\n|(name|keys|sudo|permit|password) ?= ?(\"[a-zé$]{0,4}\"?|\\[\"x\",|\\{ hash = \"|[0-9]{1,3}|true)\n?){0,8}") {
        both(&text);
    }

    /// A shipped file with a piece cut out or doubled: something real people do.
    #[test]
    fn mangled_profiles_never_panic(which in 0..SHIPPED.len(), from in 0.0..1.0f64, length in 0usize..200, double in any::<bool>()) {
        let text = SHIPPED[which].text;
        let chars: Vec<char> = text.chars().collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let from = (chars.len() as f64 * from) as usize;
        let to = (from + length).min(chars.len());
        let piece = if double { [&chars[from..to], &chars[from..to]].concat() } else { Vec::new() };
        both(&chars[..from].iter().chain(&piece).chain(&chars[to..]).collect::<String>());
    }
}
