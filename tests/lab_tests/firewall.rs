//! The firewall and port 8006 while a run changes them, with plans made by hand.

mod apply_node;
mod by_hand;
mod nftables;
mod quorum;
mod shipped;
mod simulator;
