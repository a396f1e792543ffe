//! `alerts.*`: somebody hears of what happens on a node.

mod contact;
mod events;

pub use contact::CONTACT;
pub use events::EVENTS;
