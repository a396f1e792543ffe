//! Promises, shown on lab nodes with the real components.

mod enforcement;
mod faults;
mod firewall;
mod fleet;
mod input;
mod packages;
mod passwords;
mod people;
mod power;
mod runs;
mod spine;
