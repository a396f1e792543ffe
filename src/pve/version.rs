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

/// The newest kernel, as `uname -r` calls it, among packages such as `proxmox-kernel-6.14.8-2-pve-signed` and
/// `pve-kernel-5.15.158-2-pve`; packages that only point to a kernel are left out.
pub fn newest_kernel<'a>(packages: impl Iterator<Item = &'a str>) -> Option<String> {
    let kernels = packages.filter_map(|name| {
        let rest = name.strip_prefix("proxmox-kernel-").or_else(|| name.strip_prefix("pve-kernel-"))?;
        let release = rest.strip_suffix("-signed").unwrap_or(rest);
        let numbers = release.strip_suffix("-pve")?.split(['.', '-']).map(str::parse::<u32>);
        Some((numbers.collect::<Result<Vec<_>, _>>().ok()?, release))
    });
    kernels.max().map(|(_, release)| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_newest_by_number() {
        let packages = [
            "proxmox-kernel-6.8.12-9-pve-signed",
            "proxmox-kernel-6.8.12-11-pve-signed",
            "proxmox-kernel-6.8",
            "pve-kernel-5.15.158-2-pve",
            "proxmox-kernel-helper",
        ];
        assert_eq!(newest_kernel(packages.into_iter()).as_deref(), Some("6.8.12-11-pve"));
        assert_eq!(newest_kernel(["proxmox-kernel-6.8"].into_iter()), None);
    }

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
