//! Options as Perl's `Getopt::Long` reads them: one or two dashes, `=` or a space before the value,
//! abbreviations as long as they are clear, switches with or without a value.

use serde_json::{Map, Value};

use crate::api::Parameters;
use crate::api::schema::property;

/// How results are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// `text`, `json`, `json-pretty` or `yaml`; empty for text.
    pub kind: String,
    /// No lines around the cells.
    pub no_border: bool,
    /// No names above the columns.
    pub no_header: bool,
    /// No result at all.
    pub quiet: bool,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// An option that does not exist.
    Unknown(String),
    /// An abbreviation that fits several options.
    Ambiguous(String, Vec<String>),
    /// An option without its value.
    NoValue(String),
    /// More words than places.
    TooMany,
    /// Fewer words than places.
    NotEnough,
}

impl Misuse {
    /// The lines that the real program prints above its usage.
    pub fn text(&self) -> String {
        match self {
            Self::Unknown(name) => format!("Unknown option: {name}\n400 unable to parse option"),
            Self::Ambiguous(name, all) => {
                format!("Option {name} is ambiguous ({})\n400 unable to parse option", all.join(", "))
            }
            Self::NoValue(name) => format!("Option {name} requires an argument\n400 unable to parse option"),
            Self::TooMany => "400 too many arguments".to_owned(),
            Self::NotEnough => "400 not enough arguments".to_owned(),
        }
    }
}

const FORMAT_OPTIONS: [&str; 5] = ["output-format", "human-readable", "noborder", "noheader", "quiet"];

/// Reads `words`: options of `properties`, with `with_format` those for printing, and the named places.
pub fn read(
    words: &[String],
    properties: &Map<String, Value>,
    places: &[&str],
    optional_places: &[&str],
    with_format: bool,
) -> Result<(Parameters, Format), Misuse> {
    let mut given = Parameters::new();
    let mut format = Format::default();
    let mut plain = Vec::new();
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        if word == "--" {
            plain.extend(rest.by_ref().cloned());
            break;
        }
        let Some(option) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|name| !name.is_empty())
        else {
            plain.push(word.clone());
            continue;
        };
        let (typed, attached) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (option, None),
        };
        let hidden: Vec<&str> = places.iter().chain(optional_places).copied().collect();
        let name = full_name(typed, properties, &hidden, with_format)?;
        let is_switch = is_switch(&name, properties);
        let value = match attached {
            Some(value) => value,
            None if is_switch => match rest.peek() {
                Some(next) if !next.starts_with('-') && truth(next).is_some() => {
                    rest.next().cloned().unwrap_or_default()
                }
                _ => "1".to_owned(),
            },
            None => rest.next().cloned().ok_or(Misuse::NoValue(name.clone()))?,
        };
        if with_format && FORMAT_OPTIONS.contains(&name.as_str()) {
            set_format(&mut format, &name, &value);
        } else {
            given.insert(name, Value::from(value));
        }
    }
    if plain.len() > places.len() + optional_places.len() {
        return Err(Misuse::TooMany);
    }
    if plain.len() < places.len() {
        return Err(Misuse::NotEnough);
    }
    for (place, value) in places.iter().chain(optional_places).zip(plain) {
        given.insert((*place).to_owned(), Value::from(value));
    }
    Ok((given, format))
}

fn full_name(
    typed: &str,
    properties: &Map<String, Value>,
    hidden: &[&str],
    with_format: bool,
) -> Result<String, Misuse> {
    let mut known: Vec<&str> = properties.keys().map(String::as_str).filter(|name| !hidden.contains(name)).collect();
    if with_format {
        known.extend(FORMAT_OPTIONS);
    }
    let lower = typed.to_ascii_lowercase();
    if known.contains(&lower.as_str()) || (property(properties, &lower).is_some() && !hidden.contains(&lower.as_str()))
    {
        return Ok(lower);
    }
    let fitting: Vec<&str> = known.into_iter().filter(|name| name.starts_with(&lower)).collect();
    match fitting.as_slice() {
        [] => Err(Misuse::Unknown(typed.to_owned())),
        [one] => Ok((*one).to_owned()),
        several => Err(Misuse::Ambiguous(typed.to_owned(), several.iter().map(|name| (*name).to_owned()).collect())),
    }
}

fn is_switch(name: &str, properties: &Map<String, Value>) -> bool {
    match property(properties, name) {
        Some(rules) => rules.get("type").and_then(Value::as_str) == Some("boolean"),
        None => name != "output-format",
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

fn set_format(format: &mut Format, name: &str, value: &str) {
    let on = truth(value).unwrap_or(true);
    match name {
        "output-format" => value.clone_into(&mut format.kind),
        "noborder" => format.no_border = on,
        "noheader" => format.no_header = on,
        "quiet" => format.quiet = on,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::schema::properties;
    use crate::release::Release;

    fn user_modify(line: &str) -> Result<Parameters, Misuse> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let properties = properties("/access/users/{userid}", "PUT", Release::Pve9).unwrap_or_default();
        read(&words, &properties, &["userid"], &[], false).map(|(given, _)| given)
    }

    #[test]
    fn dashes_abbreviations_and_bare_switches() -> Result<(), Misuse> {
        assert_eq!(user_modify("alice@pve -comment=x")?["comment"], "x");
        assert_eq!(user_modify("alice@pve --comm y")?["comment"], "y");
        assert_eq!(user_modify("alice@pve --enable")?["enable"], "1");
        assert_eq!(user_modify("alice@pve --enable no")?["enable"], "no");
        assert_eq!(user_modify("--enable 0 alice@pve")?["userid"], "alice@pve");
        assert_eq!(user_modify("alice@pve --expire -1")?["expire"], "-1");
        Ok(())
    }

    #[test]
    fn misuse_is_told_in_the_recorded_words() {
        assert_eq!(
            user_modify("a@pve --privelist x").map_err(|misuse| misuse.text()),
            Err("Unknown option: privelist\n400 unable to parse option".to_owned())
        );
        assert_eq!(user_modify("a@pve b@pve"), Err(Misuse::TooMany));
    }

    proptest::proptest! {
        #[test]
        fn no_words_make_it_panic(words in proptest::collection::vec(".{0,12}", 0..6)) {
            let properties = properties("/access/users", "POST", Release::Pve9).unwrap_or_default();
            let _ = read(&words, &properties, &["userid"], &[], true);
        }
    }
}
