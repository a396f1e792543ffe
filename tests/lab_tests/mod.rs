//! Promises, shown on lab nodes with the real components.

mod people;
mod passwords;
mod runs;
mod spine;
