//! `/nodes/{node}/qemu/{vmid}/status`: machines of which only the configuration file is there.

use serde_json::{Value, json};

use super::{Answer, ApiError, Call, Parameters, number};
use crate::tasks::{Work, fork_worker};

/// Starts and ends of a machine.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let id = number(given, "vmid").unwrap_or_default().to_string();
    call.require(&format!("/vms/{id}"), "VM.PowerMgmt")?;
    let file = format!("qemu-server/{id}.conf");
    if !call.host.own(&file).is_file() {
        let message = format!("Configuration file 'nodes/{}/{file}' does not exist", call.host.name);
        return Err(ApiError::Failed { code: 2, message });
    }
    let upid = match (method, path) {
        ("POST", "/nodes/{node}/qemu/{vmid}/status/start") => {
            fork_worker(call, "qmstart", &id, &Work { command: &["true"], error: None })?
        }
        // There is no guest that would hear of it.
        ("POST", "/nodes/{node}/qemu/{vmid}/status/shutdown") => {
            let timeout = number(given, "timeout").unwrap_or(180).to_string();
            let error = Some("VM quit/powerdown failed - got timeout");
            fork_worker(call, "qmshutdown", &id, &Work { command: &["sleep", &timeout], error })?
        }
        _ => return Err(ApiError::NoHandler),
    };
    Ok(Value::String(upid))
}

/// Parameters of the calls, which the kept part of PVE's schema does not have.
pub fn schema() -> [(&'static str, Value); 2] {
    let with = |more: Value| {
        let mut properties = json!({
            "node": {"type": "string", "format": "pve-node"},
            "vmid": {"type": "integer", "minimum": 100, "maximum": 999_999_999},
        });
        if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
            all.extend(more);
        }
        json!({"POST": {"parameters": {"properties": properties}}})
    };
    [
        ("/nodes/{node}/qemu/{vmid}/status/start", with(json!({}))),
        (
            "/nodes/{node}/qemu/{vmid}/status/shutdown",
            with(json!({"timeout": {"type": "integer", "minimum": 0, "optional": 1}})),
        ),
    ]
}
