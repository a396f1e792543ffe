//! The raw reading of a node: named sections, as they came.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Frame};
use crate::error::{self, Kind};

/// What one capture program answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Section name → answer.
    pub sections: BTreeMap<String, Section>,
}

/// Answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Exit status of the command that was asked.
    pub status: i32,
    /// Its standard output.
    #[serde(with = "lossless")]
    pub body: Vec<u8>,
}

/// Readable where it is text, base64 where it is not.
mod lossless {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Form {
        Text(String),
        Base64(String),
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Form::Text(text.into()),
            Err(_) => Form::Base64(STANDARD.encode(bytes)),
        }
        .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(text.into_bytes()),
            Form::Base64(text) => STANDARD.decode(text).map_err(serde::de::Error::custom),
        }
    }
}

/// Largest archive that is read or written, in bytes.
const ARCHIVE: u64 = 128 << 20;
/// Written by this release, and the only one it reads.
const VERSION: u32 = 1;

/// A capture in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Archive {
    /// Names the kind of file.
    pve_harden_capture: u32,
    sections: BTreeMap<String, Section>,
}

impl Capture {
    /// The frames of one program, by name; a name that comes twice cannot be told apart and is refused.
    pub fn from_frames(frames: impl IntoIterator<Item = Frame>) -> Result<Self, Error> {
        let mut sections = BTreeMap::new();
        for Frame { name, status, body } in frames {
            match sections.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(Section { status, body });
                }
                Entry::Occupied(taken) => {
                    return Err(Error::Garbage(format!("the answer {} came twice", taken.key())));
                }
            }
        }
        Ok(Self { sections })
    }
}

/// Writes a capture as readable JSON, for its owner only; an existing file is replaced whole or not at all.
pub fn write_archive(path: &Path, capture: &Capture) -> error::Result<()> {
    let write = || -> anyhow::Result<()> {
        let regular = std::fs::metadata(path).map_or(true, |found| found.is_file());
        anyhow::ensure!(regular, "it exists and is no regular file");
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Named temporary files are 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let archive = Archive { pve_harden_capture: VERSION, sections: capture.sections.clone() };
        serde_json::to_writer_pretty(BufWriter::new(file.as_file_mut()), &archive)?;
        file.as_file_mut().write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write()
        .map_err(|cause| error::Error::new(Kind::Usage, cause.context(format!("{} was not written", path.display()))))
}

/// Reads what [`write_archive`] wrote.
pub fn read_archive(path: &Path) -> error::Result<Capture> {
    let shown = path.display();
    let read = || -> anyhow::Result<Capture> {
        let mut text = Vec::new();
        File::open(path)?.take(ARCHIVE + 1).read_to_end(&mut text)?;
        anyhow::ensure!(text.len() as u64 <= ARCHIVE, "it is larger than {} MiB", ARCHIVE >> 20);
        parse_archive(&text)
    };
    read().map_err(|cause| {
        error::Error::new(Kind::Usage, cause.context(format!("{shown} cannot be read as a capture")))
            .hint("make one with `pve-harden capture HOST -o FILE`")
    })
}

fn parse_archive(text: &[u8]) -> anyhow::Result<Capture> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "pve-harden-capture")]
        version: u32,
    }
    let head: Head = serde_json::from_slice(text)?;
    anyhow::ensure!(head.version == VERSION, "it is of version {}, this release reads {VERSION}", head.version);
    Ok(Capture { sections: serde_json::from_slice::<Archive>(text)?.sections })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn captures() -> impl Strategy<Value = Capture> {
        let section = (any::<i32>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(status, body)| Section { status, body });
        proptest::collection::btree_map("[a-z/. ]{1,12}", section, 0..6).prop_map(|sections| Capture { sections })
    }

    proptest! {
        #[test]
        fn an_archive_gives_back_every_byte(capture in captures()) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("node.json");
            write_archive(&path, &capture).unwrap();
            prop_assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            prop_assert_eq!(read_archive(&path).unwrap(), capture);
        }

        #[test]
        fn garbage_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse_archive(&bytes).is_err());
        }
    }

    #[test]
    fn text_stays_readable_and_foreign_versions_are_named() {
        let frames = [Frame { name: "hostname".into(), status: 0, body: b"pve1\n".to_vec() }];
        let capture = Capture::from_frames(frames).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.json");
        write_archive(&path, &capture).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"text\": \"pve1\\n\""), "{text}");
        std::fs::write(&path, text.replace("\"pve-harden-capture\": 1", "\"pve-harden-capture\": 9")).unwrap();
        let message = read_archive(&path).unwrap_err().to_string();
        assert!(message.ends_with("it is of version 9, this release reads 1"), "{message}");
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        let twice = [Frame { name: "a".into(), ..Frame::default() }, Frame { name: "a".into(), ..Frame::default() }];
        assert!(matches!(Capture::from_frames(twice), Err(Error::Garbage(_))));
    }
}
