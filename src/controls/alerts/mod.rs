//! `alerts.*`: somebody hears of what happens on a node.

mod contact;

pub use contact::CONTACT;
