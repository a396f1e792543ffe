//! PVE's release from the version of the Debian package `pve-manager`, which is what `pveversion` prints.

/// Major, minor and the text to show: `9.2.11` → (9, 2, "9.2.11"); an epoch and a Debian revision are cut off.
pub fn release(package_version: &str) -> Option<(u32, u32, String)> {
    let text = package_version.rsplit_once(':').map_or(package_version, |(_, rest)| rest);
    let text = text.split(['-', '~', '+']).next().unwrap_or_default();
    let mut numbers = text.split('.').map(str::parse::<u32>);
    match (numbers.next()?, numbers.next()?) {
        (Ok(major), Ok(minor)) => Some((major, minor, text.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let cases = [
            ("9.2.11", Some((9, 2))),
            ("8.4.1", Some((8, 4))),
            ("1:9.0.3-1", Some((9, 0))),
            ("9.0~beta", Some((9, 0))),
        ];
        for (version, wanted) in cases {
            assert_eq!(release(version).map(|(major, minor, _)| (major, minor)), wanted, "{version}");
        }
        for version in ["", ".", "9", "x.y", "99999999999.1", "-", ":"] {
            assert_eq!(release(version), None, "{version}");
        }
    }
}
