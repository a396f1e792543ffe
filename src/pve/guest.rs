//! Guests and their network cards: `netN` lines of qemu-server and pve-container configurations (qm.conf(5),
//! pct.conf(5)).

use serde::{Deserialize, Serialize};

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// VMID.
    pub id: u32,
    /// VM or container.
    pub kind: GuestKind,
    /// The node it is on.
    pub node: String,
    /// `name` or `hostname`.
    pub name: Option<String>,
    /// Whether it has a SPICE display (`vga: qxl`).
    pub spice: bool,
    /// Network cards in the order of the file.
    pub cards: Vec<Card>,
}

/// Kind of guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestKind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// `net0`, `net1`, …
    pub id: String,
    /// The bridge it is plugged into.
    pub bridge: Option<String>,
    /// `firewall=1`: filtered once the guest's firewall is on.
    pub firewall: bool,
}

impl Guest {
    /// The guest of a path `/etc/pve/nodes/NODE/{qemu-server,lxc}/VMID.conf`.
    pub fn at(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/etc/pve/nodes/")?.strip_suffix(".conf")?;
        let mut words = rest.split('/');
        let (node, folder, id) = (words.next()?, words.next()?, words.next()?);
        let kind = match folder {
            "qemu-server" => GuestKind::Qemu,
            "lxc" => GuestKind::Lxc,
            _ => return None,
        };
        let id = id.parse().ok().filter(|_| words.next().is_none())?;
        Some(Self { id, kind, node: node.to_owned(), name: None, spice: false, cards: Vec::new() })
    }

    /// Takes a line of the configuration; what is neither a card nor the name is left out.
    pub fn read(&mut self, line: &str) {
        let Some((key, value)) = line.split_once(':') else { return };
        let value = value.trim();
        match key {
            "name" | "hostname" => self.name = Some(value.to_owned()),
            "vga" => self.spice = value.split(',').any(|part| part.trim_start_matches("type=").starts_with("qxl")),
            _ if key.strip_prefix("net").is_some_and(|n| n.parse::<u32>().is_ok()) => self.cards.push(card(key, value)),
            _ => {}
        }
    }

    /// Whether PVE would filter any of its cards.
    pub fn filtered(&self) -> bool {
        self.cards.iter().any(|card| card.firewall)
    }
}

fn card(id: &str, value: &str) -> Card {
    let property = |name: &str| {
        value.split(',').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    Card {
        id: id.to_owned(),
        bridge: property("bridge").map(str::to_owned),
        // PVE's booleans (pve-common src/PVE/JSONSchema.pm parse_boolean).
        firewall: property("firewall")
            .is_some_and(|value| ["1", "on", "yes", "true"].iter().any(|word| value.eq_ignore_ascii_case(word))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cards_of_machines_and_containers() {
        let mut guest = Guest::at("/etc/pve/nodes/pve1/lxc/101.conf").unwrap();
        guest.read("hostname: web");
        guest.read("net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth");
        guest.read("net1: virtio=BC:24:11:00:00:02,bridge=vmbr1");
        guest.read("vga: type=qxl2,memory=64");
        guest.read("nettle: firewall=1");
        assert_eq!((guest.id, guest.kind, guest.name.as_deref()), (101, GuestKind::Lxc, Some("web")));
        assert_eq!(guest.cards.iter().map(|card| card.firewall).collect::<Vec<_>>(), [true, false]);
        assert_eq!(guest.cards[1].bridge.as_deref(), Some("vmbr1"));
        assert!(guest.filtered() && guest.spice);
        assert_eq!(Guest::at("/etc/pve/nodes/pve1/lxc/x.conf"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(path in "\\PC*", line in "\\PC*|net[0-9]{0,3}:[a-z=,:]{0,30}") {
            if let Some(mut guest) = Guest::at(&path) {
                guest.read(&line);
            }
            let mut guest = Guest::at("/etc/pve/nodes/n/lxc/1.conf").unwrap();
            guest.read(&line);
        }
    }
}
