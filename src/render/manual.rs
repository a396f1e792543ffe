//! The catalogue as a manual page, in roff's `man` macros (`groff_man(7)`).

use clap_mangen::roff::{Roff, bold, roman};

use super::explain;
use crate::controls::{Control, Meta};
use crate::report::document::source;

/// pve-harden-controls(7): every control in the catalogue's order.
pub fn controls(catalogue: &[&dyn Control]) -> String {
    let mut page = Roff::new();
    page.control("TH", ["pve-harden-controls", "7", "", concat!("pve-harden ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]).text([roman("pve-harden-controls - what pve-harden judges, and why")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "Level 1 is for everyone, 2 is stricter, 3 has real drawbacks. Profiles decide which are enabled. \
         `pve-harden explain CONTROL` prints the same.",
    )]);
    page.control("SH", ["CONTROLS"]);
    for control in catalogue {
        chapter(&mut page, control.meta());
    }
    page.control("SH", ["SEE ALSO"]).text([
        bold("pve-harden"),
        roman("(1), "),
        bold("pve-harden-explain"),
        roman("(1)"),
    ]);
    page.to_roff()
}

fn chapter(page: &mut Roff, meta: &Meta) {
    let rank = format!("Level {}, severity {}.", meta.level, explain::severity(meta.severity));
    page.control("SS", [meta.id]).text([bold(meta.title), roman(". "), roman(rank)]);
    for (heading, body) in [("Why:", meta.why), ("Checked:", meta.checked), ("Done naively:", meta.naive)] {
        page.control("PP", []).text([bold(heading), roman(" "), roman(body)]);
    }
    let references: Vec<String> = meta.references.iter().map(|reference| source(*reference)).collect();
    page.control("PP", []).text([bold("References:"), roman(" "), roman(references.join("; "))]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::{Reference, Severity};

    #[test]
    fn a_chapter_whose_text_looks_like_macros() {
        let meta = Meta {
            id: "ssh.example",
            title: "Something is as it should be",
            why: "Because of\n.ssh/config and\n'quotes'.",
            checked: "sshd -T | grep 'a\\b'",
            naive: "Everything",
            references: &[Reference::Guide("1.1.1"), Reference::Man("sshd_config(5)")],
            level: 1,
            severity: Severity::High,
        };
        let mut page = Roff::new();
        chapter(&mut page, &meta);
        insta::assert_snapshot!(page.to_roff(), @r"
        .SS ssh.example
        \fBSomething is as it should be\fR. Level 1, severity high.
        .PP
        \fBWhy:\fR Because of
        \&.ssh/config and
        \&'quotes'.
        .PP
        \fBChecked:\fR sshd \-T | grep 'a\\b'
        .PP
        \fBDone naively:\fR Everything
        .PP
        \fBReferences:\fR HomeSecExplorer Proxmox VE 9 hardening guide, section 1.1.1; sshd_config(5)
        ");
    }
}
