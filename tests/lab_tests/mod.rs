//! Promises, shown on lab nodes with the real components.

mod input;
mod passwords;
mod people;
mod runs;
mod spine;
