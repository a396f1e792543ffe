//! JSON Schemas of what a person writes: a profile layer (every key optional) and a site file.

use std::sync::OnceLock;

use serde_json::{Value as Json, json};

use super::limits::LIMITS;
use super::policy::Profile;
use super::shape::Shape;
use super::site::file::SiteFile;

/// Schema of a profile file.
pub fn layer_schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = schemars::schema_for!(Profile).to_value();
        schema["title"] = json!("pve-harden profile");
        schema["description"] = json!("One layer of a hardening profile; keys left out come from `extends`.");
        all_optional(&mut schema);
        for limit in LIMITS {
            bound(&mut schema, limit.key, limit.min, limit.max);
        }
        schema["properties"]["extends"] = json!({
            "type": "string",
            "description": "A shipped profile's name, or a file relative to this one, whose values this one changes."
        });
        schema["properties"]["description"] =
            json!({ "type": "string", "description": "One line for `pve-harden profile list`." });
        schema
    })
}

/// Schema of a site file.
pub fn site_schema() -> &'static Json {
    static SCHEMA: OnceLock<Json> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = schemars::schema_for!(SiteFile).to_value();
        schema["title"] = json!("pve-harden site");
        let host = &mut schema["$defs"]["HostEntry"]["properties"];
        host["host_key"] = host["host-key"].clone();
        schema
    })
}

/// Shape of a profile file.
pub fn layer_shape() -> &'static Shape {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    SHAPE.get_or_init(|| Shape::from_schema(layer_schema()))
}

/// Shape of a site file.
pub fn site_shape() -> &'static Shape {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    SHAPE.get_or_init(|| Shape::from_schema(site_schema()))
}

fn all_optional(node: &mut Json) {
    match node {
        Json::Object(map) => {
            map.remove("required");
            // An entry of a list stands for itself: nothing of it comes from another layer.
            map.iter_mut().filter(|(name, _)| !name.starts_with("Wanted")).for_each(|(_, node)| all_optional(node));
        }
        Json::Array(items) => items.iter_mut().for_each(all_optional),
        _ => {}
    }
}

fn bound(schema: &mut Json, key: &str, min: i64, max: i64) {
    let mut pointer = String::new();
    for word in key.split('.') {
        if let Some(name) = schema.pointer(&format!("{pointer}/$ref")).and_then(Json::as_str) {
            pointer = name.trim_start_matches('#').to_owned();
        }
        pointer = format!("{pointer}/properties/{word}");
    }
    if let Some(place) = schema.pointer_mut(&pointer) {
        place["minimum"] = json!(min);
        place["maximum"] = json!(max);
    }
}
