use serde_json::Value as Json;

use crate::profile::policy::{Policy, Site};
use crate::profile::schema::{layer_schema, site_schema};
use crate::profile::stack::SHIPPED;

/// The keywords our schemas use, judged independently of the loader. Every other keyword fails the test.
fn valid(value: &Json, schema: &Json, root: &Json) -> Result<(), String> {
    let Some(rules) = schema.as_object() else { return Ok(()) };
    for (keyword, rule) in rules {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" | "default" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                valid(value, &root["$defs"][name], root)?;
                true
            }
            "type" => {
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                rule.as_str().map_or_else(|| rule.as_array().unwrap().iter().any(|t| is(t.as_str().unwrap())), is)
            }
            "properties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = rule.get(key) {
                        valid(inner, schema, root).map_err(|e| format!("{key}: {e}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &String| rules["properties"].get(key).is_some();
                *rule != false || value.as_object().is_none_or(|o| o.keys().all(known))
            }
            "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    valid(item, rule, root)?;
                }
                true
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "anyOf" | "oneOf" => rule.as_array().unwrap().iter().any(|s| valid(value, s, root).is_ok()),
            "minimum" => value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|n| n <= rule.as_i64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|o| o.len() as u64 >= rule.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|o| o.len() as u64 <= rule.as_u64().unwrap()),
            other => panic!("keyword {other} is not judged"),
        };
        if !holds {
            return Err(format!("{value} against {keyword}"));
        }
    }
    Ok(())
}

fn json(text: &str) -> Json {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

#[test]
fn shipped_profiles_fit_the_schema_and_slips_do_not() {
    let schema = layer_schema();
    for shipped in SHIPPED {
        assert_eq!(valid(&json(shipped.text), schema, schema), Ok(()), "{}", shipped.name);
        assert!(!shipped.description().is_empty(), "{} has a description", shipped.name);
    }
    for wrong in [
        "[ssh.limits]\nmax-auth-trys = 4",
        "[ssh.limits]\nmax-auth-tries = \"4\"",
        "[lockout.pam]\nunlock-time = 0",
        "[ssh.root-login]\npermit = \"yes\"",
        "extends = 1",
    ] {
        assert!(valid(&json(wrong), schema, schema).is_err(), "{wrong}");
    }
}

#[test]
fn a_layer_may_leave_everything_out() {
    assert_eq!(valid(&json(""), layer_schema(), layer_schema()), Ok(()));
}

#[test]
fn site_files_fit_the_schema_and_slips_do_not() {
    let schema = site_schema();
    assert_eq!(valid(&json(super::site::SITE), schema, schema), Ok(()));
    for wrong in [
        "[[host]]\naddress = \"192.0.2.1\"",
        "[[admin]]\nname = \"a\"\nsudo = \"maybe\"",
        "[[admin]]\nname = \"a\"\nsudo = \"password\"\npassword = { prompt = true, generate = \"x\" }",
        "[[waiver]]\nid = 1",
        "[[host]]\nname = \"a\"\nport = 70000",
    ] {
        assert!(valid(&json(wrong), schema, schema).is_err(), "{wrong}");
    }
}

#[test]
fn embedded_policies_are_there_for_tests() {
    for shipped in SHIPPED {
        assert!(Policy::from_embedded(shipped.name, Site::default()).is_ok());
    }
    assert!(Policy::from_embedded("none", Site::default()).is_err());
}

#[test]
fn every_bounded_number_is_in_the_schema() {
    use crate::profile::limits::LIMITS;
    use crate::profile::schema::layer_shape;
    let leaves = layer_shape().leaves();
    for limit in LIMITS {
        assert!(leaves.iter().any(|leaf| leaf == limit.key), "{}", limit.key);
    }
    let bounded = layer_schema().to_string().matches("\"maximum\"").count();
    assert_eq!(bounded, LIMITS.len(), "every limit found its place");
}
