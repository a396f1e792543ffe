//! Promises, shown on lab nodes with the real components.

mod people;
mod runs;
mod spine;
