//! Profiles and site: TOML in, [`Policy`](policy::Policy) out. Knows no node.

pub mod policy;
