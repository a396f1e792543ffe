//! Access control as PVE computes it: who may do what where. Pure; user.cfg's model and a wanted state go in.
//!
//! [`effective`] answers what somebody may do on a path, [`model`] what a call makes of a configuration and what takes
//! it back, [`wanted`] which calls lead from what is there to what is wanted, [`difference`] who gains and loses by
//! that, [`coming`] which listed tokens are made, [`matrix`] and [`review`] what a person looks at, [`tokens`] how a token lives,
//! [`lock`] what an incident takes away, [`enrolment`] and [`totp`] how somebody gets a second factor.

pub mod coming;
pub mod difference;
pub mod effective;
pub mod enrolment;
pub mod lifetime;
pub mod lock;
pub mod matrix;
pub mod model;
pub mod review;
pub mod rotation;
pub mod tokens;
pub mod totp;
pub mod wanted;

/// A day for people, from seconds since 1970.
pub fn day(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    time.map_or_else(|| format!("second {at}"), |time| time.strftime("%Y-%m-%d").to_string())
}
