//! Users, realms, permissions and secrets: the files of /etc/pve that say who may do what.

pub mod domains;
pub mod login;
pub mod names;
mod pam;
pub mod permissions;
pub mod roles;
pub mod secrets;
pub mod tfa;
pub mod ticket;
mod totp;
pub mod user_cfg;

use crate::host::Host;

use domains::Domains;
use roles::Catalogue;
use user_cfg::UserCfg;

/// The present `user.cfg`; warnings go to stderr as the real programs' do.
pub fn user_cfg(host: &Host) -> UserCfg {
    let (cfg, warnings) = UserCfg::parse(&crate::files::text(&host.pve("user.cfg")), &Catalogue::of(host.release));
    for warning in warnings {
        crate::console::complain(warning);
    }
    cfg
}

/// The present `domains.cfg`.
pub fn domains(host: &Host) -> Domains {
    Domains::parse(&crate::files::text(&host.pve("domains.cfg")))
}
