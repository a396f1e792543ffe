//! Promises, shown on lab nodes with the real components.

mod access;
mod alerts;
mod bruteforce;
mod certificates;
mod declared;
mod drift;
pub mod enforcement;
mod expiry;
mod faults;
mod firewall;
mod fleet;
mod homes;
mod identities;
mod input;
mod logs;
mod packages;
mod passwords;
mod people;
mod power;
mod runs;
mod spine;
mod tokens;
mod upgrade;
mod vagrant;
mod watch;
mod web;
mod wheel;
