//! The account and SSH controls in one plan: they agree on what they share, leave a way in, and a second run is empty.

use std::collections::BTreeSet;

use pve_harden::controls::Status;
use pve_harden::facts::{Facts, Reading};
use pve_harden::plan::{self, Operator, Plan, Selection};
use pve_harden::profile::policy::Policy;
use ssh_key::{HashAlg, PublicKey};

use super::{KEY, asked, model, policy};

fn build(facts: &Facts, policy: &Policy) -> Plan {
    let fingerprint = PublicKey::from_openssh(KEY).unwrap().fingerprint(HashAlg::Sha256).to_string();
    let operator = Operator { key_fingerprints: BTreeSet::from([fingerprint]), ..Operator::default() };
    let selection = Selection::parse(&["accounts.*".into(), "ssh.*".into()]).unwrap();
    plan::build(facts, policy, &selection, &operator).unwrap()
}

#[test]
fn a_second_plan_of_a_hardened_node_is_empty() {
    for (name, facts) in
        [("pve9", Facts::fresh_pve9()), ("pve8", Facts::fresh_pve8()), ("cluster", Facts::cluster_of_three())]
    {
        for profile in ["baseline", "strict", "lab"] {
            let mut policy = policy(profile);
            // The recorded root key has 2048 bits.
            policy.profile.ssh.crypto.required_rsa_size = policy.profile.ssh.crypto.required_rsa_size.min(2048);
            let mut facts = asked(facts.clone(), &policy);
            let first = build(&facts, &policy);
            assert!(!first.changes.is_empty());
            assert_eq!(first.refusals, [], "{name} {profile}");

            facts.sudo.insert("ops".into(), Reading::NotAsked);
            let second = build(&model::apply(&facts, &first.changes), &policy);
            assert_eq!(second.changes, [], "{name} {profile}");
            for (id, verdict) in &second.verdicts {
                assert_eq!(verdict.status, Status::Compliant, "{name} {profile} {id}");
            }
        }
    }
}

#[test]
fn controls_of_one_family_share_one_file_change() {
    let policy = policy("baseline");
    let plan = build(&asked(Facts::fresh_pve9(), &policy), &policy);
    let dropins: Vec<_> = plan
        .changes
        .iter()
        .filter(|change| change.action.touches().contains(&"/etc/ssh/sshd_config.d/00-pve-harden.conf"))
        .collect();
    assert_eq!(dropins.len(), 1);
    assert_eq!(dropins[0].controls, ["ssh.root-login", "ssh.password-auth", "ssh.limits"]);
}
