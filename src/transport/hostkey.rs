//! What to answer when ssh does not know a host key. A known but different key never comes here: ssh refuses it.

use super::error::Error;
use super::operator::HostKeyOffer;
use super::target::HostKeyPolicy;

/// The answer to one host-key question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Type this.
    Accept(String),
    /// Show it to the operator.
    Ask,
    /// Answer no, with this reason.
    Refuse(Error),
}

/// `known`: this very key of this very host was accepted earlier in this process.
pub(super) fn judge(policy: &HostKeyPolicy, offer: &HostKeyOffer, known: bool) -> Judgement {
    match policy {
        // The pin speaks of the node only.
        HostKeyPolicy::Pinned(pin) if !offer.hop => {
            if *pin == offer.fingerprint {
                // ssh compares a typed fingerprint with the key itself.
                Judgement::Accept(pin.clone())
            } else {
                Judgement::Refuse(Error::HostKeyChanged {
                    host: offer.host.clone(),
                    expected: format!("pinned {pin}"),
                    offered: offer.describe(),
                    forget: None,
                })
            }
        }
        _ if known => Judgement::Accept("yes".into()),
        HostKeyPolicy::AcceptNew => Judgement::Accept("yes".into()),
        HostKeyPolicy::Ask | HostKeyPolicy::Pinned(_) => Judgement::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(fingerprint: &str, hop: bool) -> HostKeyOffer {
        HostKeyOffer { host: "pve1".into(), key_type: "ED25519".into(), fingerprint: fingerprint.into(), hop }
    }

    #[test]
    fn a_pin_is_the_only_truth_for_the_node_and_none_for_a_jump_host() {
        let policy = HostKeyPolicy::Pinned("SHA256:a".into());
        assert_eq!(judge(&policy, &offer("SHA256:a", false), false), Judgement::Accept("SHA256:a".into()));
        for known in [false, true] {
            let judgement = judge(&policy, &offer("SHA256:b", false), known);
            assert!(matches!(judgement, Judgement::Refuse(Error::HostKeyChanged { .. })), "{judgement:?}");
        }
        assert_eq!(judge(&policy, &offer("SHA256:a", true), false), Judgement::Ask);
    }

    #[test]
    fn asking_happens_once_per_key() {
        assert_eq!(judge(&HostKeyPolicy::Ask, &offer("SHA256:a", false), false), Judgement::Ask);
        assert_eq!(judge(&HostKeyPolicy::Ask, &offer("SHA256:a", false), true), Judgement::Accept("yes".into()));
        assert_eq!(judge(&HostKeyPolicy::AcceptNew, &offer("SHA256:a", true), false), Judgement::Accept("yes".into()));
    }
}
