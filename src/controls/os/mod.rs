//! `os.*`: services that have no place here, and what of the operating system is reported only.

mod report;
mod services;

pub use report::{APPARMOR, CRON, FILE_PERMISSIONS, KSM, LOCKDOWN, MOUNTS, SECURE_BOOT, TIME};
pub use services::SERVICES;
