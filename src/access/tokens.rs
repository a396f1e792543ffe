//! How a token lives: a rotation makes a second one next to it, named after the day, so that both work for a while.
//!
//! `svc@pve!ci` and `svc@pve!ci-20261122` are one family: the same job, the same rights, one of them the current one.

/// Digits of a day.
const DAY: usize = 8;

/// The name without the day of a rotation: `svc@pve!ci` of `svc@pve!ci-20261122` and of `svc@pve!ci-20261122-2`.
pub fn family(id: &str) -> &str {
    let Some((front, last)) = id.rsplit_once('-') else { return id };
    if is_day(last) && has_name(front) {
        return front;
    }
    let counted = (1..=2).contains(&last.len()) && last.bytes().all(|c| c.is_ascii_digit());
    match front.rsplit_once('-') {
        Some((family, day)) if counted && is_day(day) && has_name(family) => family,
        _ => id,
    }
}

/// What is left must be a token's name: two characters, the first a letter.
fn has_name(id: &str) -> bool {
    let name = id.rsplit('!').next().unwrap_or_default();
    name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_day(text: &str) -> bool {
    text.len() == DAY
        && text.bytes().all(|c| c.is_ascii_digit())
        && format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]).parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_token_is_of_the_same_family() {
        for (id, expected) in [
            ("svc@pve!ci", "svc@pve!ci"),
            ("svc@pve!ci-20261122", "svc@pve!ci"),
            ("svc@pve!ci-20261122-2", "svc@pve!ci"),
            ("svc@pve!ci-20261322", "svc@pve!ci-20261322"),
            ("svc@pve!ci-2026", "svc@pve!ci-2026"),
            ("svc@pve!ci-20261122-200", "svc@pve!ci-20261122-200"),
            ("svc-20261122@pve!ci", "svc-20261122@pve!ci"),
            ("svc@pve!a-20261122", "svc@pve!a-20261122"),
            ("", ""),
        ] {
            assert_eq!(family(id), expected, "{id}");
        }
    }
}
