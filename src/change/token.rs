//! An API token that a plan makes.

use serde::{Deserialize, Serialize};

use super::access::AccessCall;

/// A token whose secret goes from PVE straight into a sink of the site. It is made once the run is confirmed, so that no
/// undo ever leaves a stored secret of a token that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NewToken {
    /// `user@realm!token`.
    pub id: String,
    /// Purpose and owner.
    pub comment: String,
    /// How long it works.
    pub days: u64,
    /// Rights of its own, never more than its user.
    pub separated: bool,
    /// Name of the sink.
    pub sink: String,
    /// Its own rights.
    pub rights: Vec<AccessCall>,
}
