//! `updates.*`: where packages come from, and whether they come in time.

mod pending;
mod repositories;
mod security;
mod state;

pub use pending::PENDING;
pub use repositories::REPOSITORIES;
pub use security::SECURITY;
pub use state::{MICROCODE, REBOOT_OWED, RELEASE};
