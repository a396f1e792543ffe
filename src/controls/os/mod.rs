//! `os.*`: services that have no place here, core dumps, changed programs, and what of the operating system is reported only.

mod core_dumps;
mod integrity;
mod report;
mod services;

pub use core_dumps::CORE_DUMPS;
pub use integrity::INTEGRITY;
pub use report::{APPARMOR, CRON, FILE_PERMISSIONS, KSM, LOCKDOWN, MOUNTS, SECURE_BOOT, TIME};
pub use services::SERVICES;
