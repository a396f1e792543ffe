//! What `apt-get -s install` says it would do. Source of the lines: apt-pkg/algorithms.cc, class `pkgSimulate`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Reading;
use super::sections::{Sections, shown};

/// The simulated installation of the packages that are missing; nothing was asked when none is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulation {
    /// Packages it was asked to install.
    pub asked: BTreeSet<String>,
    /// Packages that would be new, those asked for among them, in apt's order.
    pub installs: Vec<Versioned>,
    /// Installed packages that would get another version; the version they have now.
    pub upgrades: Vec<Versioned>,
    /// Installed packages that would go.
    pub removes: Vec<Versioned>,
    /// Packages of which the node's package lists have no version. A fresh installation has no lists at all.
    pub unlisted: BTreeSet<String>,
    /// Why else apt would refuse.
    pub problem: Option<String>,
}

/// A package and its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Versioned {
    /// Name, with `:architecture` for a foreign one.
    pub name: String,
    /// Version.
    pub version: String,
}

pub(super) fn simulation(sections: Sections<'_>) -> Reading<Simulation> {
    sections.parse("packages.simulation", parse)
}

/// `asked NAME` lines of the capture program, lines of apt, and `exit STATUS`.
fn parse(text: &str) -> Result<Simulation, String> {
    let mut found = Simulation::default();
    let mut status = None;
    for line in text.lines() {
        let strange = || format!("not understood: {}", shown(line));
        let (word, rest) = line.split_once(' ').ok_or_else(strange)?;
        if status.is_some() {
            return Err(strange());
        }
        match word {
            "asked" => found.asked.extend([name(rest).ok_or_else(strange)?]),
            "Inst" => {
                let (package, new) = planned(rest).ok_or_else(strange)?;
                if new { &mut found.installs } else { &mut found.upgrades }.push(package);
            }
            "Remv" | "Purg" => found.removes.push(removed(rest).ok_or_else(strange)?),
            "E:" => match unlisted(rest) {
                Some(package) => found.unlisted.extend([package]),
                None => found.problem = found.problem.or_else(|| Some(shown(rest))),
            },
            "exit" => status = Some(rest.parse::<u8>().map_err(|_| strange())?),
            _ => return Err(strange()),
        }
    }
    match status {
        None if found.asked.is_empty() => {}
        None => return Err("cut off".into()),
        Some(124 | 137) => return Err("apt-get -s did not end within 30 seconds".into()),
        Some(0) => {}
        Some(other) if found.problem.is_none() && found.unlisted.is_empty() => {
            found.problem = Some(format!("apt-get ended with status {other}"));
        }
        Some(_) => {}
    }
    Ok(found)
}

/// `NAME (VERSION ORIGIN… [ARCH])`, or `NAME [OLD] (…)` for one that is installed.
fn planned(rest: &str) -> Option<(Versioned, bool)> {
    let (package, rest) = rest.split_once(' ')?;
    let name = name(package)?;
    if let Some(old) = bracketed(rest) {
        return Some((Versioned { name, version: version(old)? }, false));
    }
    let new = rest.strip_prefix('(')?.split([' ', ')']).next()?;
    Some((Versioned { name, version: version(new)? }, true))
}

/// `NAME [VERSION]`, and what would be broken in between.
fn removed(rest: &str) -> Option<Versioned> {
    let (package, rest) = rest.split_once(' ')?;
    Some(Versioned { name: name(package)?, version: version(bracketed(rest)?)? })
}

fn bracketed(rest: &str) -> Option<&str> {
    rest.strip_prefix('[')?.split_once(']').map(|(inner, _)| inner)
}

/// The package of the two ways in which apt says that its lists have none.
fn unlisted(error: &str) -> Option<String> {
    let package = error.strip_prefix("Unable to locate package ").or_else(|| {
        error.strip_prefix("Package '").and_then(|rest| rest.strip_suffix("' has no installation candidate"))
    });
    name(package?)
}

/// deb-control(5), `Package:`, with an architecture.
fn name(word: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.:".contains(&byte);
    let begins = word.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (begins && word.len() <= 200 && word.bytes().all(good)).then(|| word.to_owned())
}

/// deb-version(7).
fn version(word: &str) -> Option<String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".+-:~".contains(&byte);
    (!word.is_empty() && word.len() <= 200 && word.bytes().all(good)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn versioned(pairs: &[(&str, &str)]) -> Vec<Versioned> {
        pairs.iter().map(|(name, version)| Versioned { name: (*name).into(), version: (*version).into() }).collect()
    }

    #[test]
    fn a_transaction_is_read_with_its_dependencies() {
        let found = parse(
            "asked sudo\nasked file\n\
             Inst sudo (1.9.16p2-3+deb13u2 Debian:trixie [amd64])\n\
             Inst libmagic1t64:i386 (1:5.46-5 Debian:trixie, Debian-Security:13/stable-security [i386])\n\
             Inst file (1:5.46-5 Debian:trixie [amd64]) [libmagic1t64:i386 ]\n\
             exit 0\n",
        )
        .unwrap();
        assert_eq!(found.asked, ["file", "sudo"].map(String::from).into());
        let installs = [("sudo", "1.9.16p2-3+deb13u2"), ("libmagic1t64:i386", "1:5.46-5"), ("file", "1:5.46-5")];
        assert_eq!(found.installs, versioned(&installs));
        assert_eq!((found.upgrades, found.removes, found.unlisted, found.problem), (vec![], vec![], [].into(), None));
    }

    #[test]
    fn removals_and_upgrades_are_told_from_installations() {
        let found = parse(
            "asked sudo\nRemv pvh-blocker [1.0]\nPurg sudo-ldap [1.9.5p2-3+deb11u1] [libnss-sudo:amd64 ]\n\
             Inst pvh-old [0.1] (1.0 local-deb [all])\nInst sudo (1:9.1 local-deb [all])\nexit 0\n",
        )
        .unwrap();
        assert_eq!(found.removes, versioned(&[("pvh-blocker", "1.0"), ("sudo-ldap", "1.9.5p2-3+deb11u1")]));
        assert_eq!(found.upgrades, versioned(&[("pvh-old", "0.1")]));
        assert_eq!(found.installs, versioned(&[("sudo", "1:9.1")]));
    }

    #[test]
    fn missing_lists_are_no_problem_and_a_conflict_is_one() {
        let fresh = "asked sudo\nasked file\nE: Unable to locate package sudo\n\
                     E: Package 'file' has no installation candidate\nexit 100\n";
        let found = parse(fresh).unwrap();
        assert_eq!((found.unlisted, found.problem), (["file", "sudo"].map(String::from).into(), None));
        let held = "asked sudo\nE: Error, pkgProblemResolver::Resolve generated breaks, this may be caused by held \
                    packages.\nE: The following information from --solver 3.0 may provide additional context:\nexit 100\n";
        let problem = parse(held).unwrap().problem.unwrap();
        assert!(problem.contains("held packages"), "{problem}");
        assert_eq!(parse("asked sudo\nexit 100\n").unwrap().problem.unwrap(), "apt-get ended with status 100");
    }

    #[test]
    fn nothing_missing_is_nothing_asked() {
        assert_eq!(parse("").unwrap(), Simulation::default());
    }

    #[test]
    fn what_is_not_understood_is_not_known() {
        for (text, why) in [
            ("asked sudo\n", "cut off"),
            ("asked sudo\nexit 124\n", "did not end"),
            ("asked sudo\nInst sudo\nexit 0\n", "not understood"),
            ("asked sudo\nInst sudo ()\nexit 0\n", "not understood"),
            ("asked sudo\nInst s\x1b[2Judo (1 x [all])\nexit 0\n", "not understood"),
            ("asked sudo\nRemv x 1.0\nexit 0\n", "not understood"),
            ("asked -o\nexit 0\n", "not understood"),
            ("asked sudo\nexit 0\nInst sudo (1 x [all])\n", "not understood"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains('\x1b'), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics_or_drives_a_terminal(
            text in r"((asked|Inst|Remv|Purg|E:|exit) |sudo|Unable to locate package |Package '|' has no|\[|\]|\(|\)|[0-9]{1,4}|\x1b|\n| |\PC)*"
        ) {
            if let Ok(found) = parse(&text) {
                let known = [&found.installs, &found.upgrades, &found.removes].into_iter().flatten();
                let words = known.flat_map(|package| [&package.name, &package.version]);
                let words = words.chain(&found.asked).chain(&found.unlisted).chain(&found.problem);
                for word in words {
                    prop_assert!(!word.chars().any(char::is_control), "{word:?}");
                }
            }
        }

        #[test]
        fn what_apt_prints_comes_back(packages in proptest::collection::vec(
            ("[a-z0-9][a-z0-9+.-]{1,20}", "[0-9][A-Za-z0-9.+~-]{0,12}", 0..3_u8), 0..20)
        ) {
            let mut text = String::from("asked sudo\n");
            let mut wanted = Simulation { asked: ["sudo".to_owned()].into(), ..Simulation::default() };
            for (name, version, kind) in packages {
                let (line, list) = match kind {
                    0 => (format!("Inst {name} ({version} Debian:trixie [all])\n"), &mut wanted.installs),
                    1 => (format!("Inst {name} [{version}] (9 Debian:trixie [all])\n"), &mut wanted.upgrades),
                    _ => (format!("Remv {name} [{version}]\n"), &mut wanted.removes),
                };
                text.push_str(&line);
                list.push(Versioned { name, version });
            }
            text.push_str("exit 0\n");
            prop_assert_eq!(parse(&text), Ok(wanted));
        }
    }
}
