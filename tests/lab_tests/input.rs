//! Bad input, hostile nodes and unusual ways, through the real binary: what a person reads, the exit code, and that
//! nothing is half done. Exit codes are reached in `sudo` (0), `logins` (1, 2, 3), `refusals` (4) and `ways` (5).

mod answers;
mod logins;
mod refusals;
mod sudo;
mod tool;
mod ways;
