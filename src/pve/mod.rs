//! PVE's own file formats and names. Pure text in, values out.

pub mod acme_dns;
pub mod ceph;
pub mod certificate;
pub mod cluster;
pub mod datacenter;
pub mod domains;
pub mod firewall;
pub mod guest;
pub mod ha;
pub mod names;
pub mod node_config;
pub mod notifications;
pub mod privileges;
pub mod pveproxy;
pub mod sources;
pub mod sources_edit;
pub mod storage;
pub mod tasks;
pub mod user_cfg;
pub mod version;
