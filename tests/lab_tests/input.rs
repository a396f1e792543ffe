//! Bad input, hostile nodes and unusual ways, through the real binary: what a person reads, the exit code, and that
//! nothing is half done.

mod answers;
mod logins;
mod refusals;
mod sudo;
mod tool;
mod ways;
