//! `network.*`: what the node offers to the network.

mod known;
mod listen;
mod rpcbind;
#[cfg(test)]
mod tests;

pub use listen::LISTEN;
