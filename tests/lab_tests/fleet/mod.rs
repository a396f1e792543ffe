//! Many nodes and whole clusters.

mod cluster;
mod many;
