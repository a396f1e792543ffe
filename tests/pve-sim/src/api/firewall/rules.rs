//! `…/firewall/rules` and the rules of security groups.

use serde_json::{Map, Value, json};

use super::{File, check_digest, digest};
use crate::access::names::list;
use crate::api::{Answer, ApiError, Call, Parameters, given_text, number, text};
use crate::firewall::config::Config;
use crate::firewall::rule::Rule;
use crate::firewall::verify::{self, Context, verify};

/// Which rules of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `[RULES]`
    File,
    /// Those of a security group.
    Group(String),
}

impl Place {
    fn rules<'c>(&self, config: &'c mut Config) -> Result<&'c mut Vec<Rule>, ApiError> {
        match self {
            Self::File => Ok(&mut config.rules),
            Self::Group(name) => config
                .groups
                .get_mut(name)
                .map(|group| &mut group.rules)
                .ok_or_else(|| ApiError::failed(format!("no such security group '{name}'"))),
        }
    }
}

/// Calls on rules.
pub fn handle(call: &Call<'_>, file: &File, place: &Place, method: &str, given: &Parameters) -> Answer {
    let position = given.get("pos").filter(|_| method != "POST").and_then(|_| number(given, "pos"));
    let position = position.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    match (method, position) {
        ("GET", position) => read(&mut file.config(call), place, position),
        ("POST", _) => {
            file.change(call, |config, cluster| create(config, cluster, place, given))?;
            Ok(Value::Null)
        }
        ("PUT", Some(position)) => {
            file.change(call, |config, cluster| update(config, cluster, place, position, given))?;
            Ok(Value::Null)
        }
        ("DELETE", Some(position)) => {
            file.change(call, |config, _| {
                let rules = place.rules(config)?;
                check_digest(given, &rows(rules))?;
                if position >= rules.len() {
                    return Err(no_rule(position));
                }
                rules.remove(position);
                Ok(())
            })?;
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}

fn no_rule(position: usize) -> ApiError {
    ApiError::failed(format!("no rule at position {position}"))
}

fn rows(rules: &[Rule]) -> Vec<Map<String, Value>> {
    let rows = rules.iter().map(|rule| {
        let fields = rule.fields().into_iter().map(|(name, value)| {
            let value = if matches!(name, "enable" | "ipversion") {
                value.parse::<u64>().map_or(Value::from(value), Value::from)
            } else {
                Value::from(value)
            };
            (name.to_owned(), value)
        });
        fields.collect()
    });
    rows.collect()
}

fn read(config: &mut Config, place: &Place, position: Option<usize>) -> Answer {
    let rules = place.rules(config)?;
    let mut all = rows(rules);
    let digest = digest(&all);
    for (index, (row, rule)) in all.iter_mut().zip(rules.iter()).enumerate() {
        row.insert("pos".to_owned(), json!(index));
        row.insert("digest".to_owned(), json!(digest));
        if !rule.errors.is_empty() {
            let errors: Map<String, Value> =
                rule.errors.iter().cloned().map(|(name, text)| (name, json!(text))).collect();
            row.insert("errors".to_owned(), Value::Object(errors));
        }
    }
    match position {
        None => Ok(Value::Array(all.into_iter().map(Value::Object).collect())),
        Some(position) => all.into_iter().nth(position).map(Value::Object).ok_or_else(|| no_rule(position)),
    }
}

fn create(config: &mut Config, cluster: Option<&Config>, place: &Place, given: &Parameters) -> Result<(), ApiError> {
    place.rules(config)?;
    let mut rule = Rule::default();
    take(&mut rule, given);
    check(&mut rule, config, cluster, place)?;
    place.rules(config)?.insert(0, rule);
    Ok(())
}

fn update(
    config: &mut Config,
    cluster: Option<&Config>,
    place: &Place,
    position: usize,
    given: &Parameters,
) -> Result<(), ApiError> {
    let rules = place.rules(config)?;
    check_digest(given, &rows(rules))?;
    let Some(mut rule) = rules.get(position).cloned() else { return Err(no_rule(position)) };
    let target = number(given, "moveto").map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    if let Some(target) = target.filter(|target| *target != position) {
        // The target is a place in the list as it is, before the rule is taken out.
        rules.remove(position);
        let target = if target > position { target - 1 } else { target };
        rules.insert(target.min(rules.len()), rule);
        return Ok(());
    }
    take(&mut rule, given);
    for name in list(text(given, "delete")) {
        if matches!(name, "type" | "action") {
            return Err(ApiError::parameter("delete", format!("unable to delete required property '{name}'")));
        }
        match (name, rule.field(name)) {
            (_, Some(field)) => field.clear(),
            ("enable", None) => rule.enable = 1,
            ("pos" | "digest", None) => {}
            _ => return Err(ApiError::parameter("delete", format!("no such property ('{name}')"))),
        }
    }
    rule.ip_version = None;
    check(&mut rule, config, cluster, place)?;
    if let Some(slot) = place.rules(config)?.get_mut(position) {
        *slot = rule;
    }
    Ok(())
}

/// Takes parameters over; an empty one or `-` removes.
fn take(rule: &mut Rule, given: &Parameters) {
    for (name, value) in given {
        if name == "enable" {
            rule.enable = number(given, "enable").unwrap_or(0);
        } else if let (Some(field), Some(value)) = (rule.field(name), value.as_str()) {
            (if value == "-" { "" } else { value }).clone_into(field);
        }
    }
    if let Some(comment) = given_text(given, "comment") {
        comment.replace('\n', " ").clone_into(&mut rule.comment);
    }
}

fn check(rule: &mut Rule, config: &Config, cluster: Option<&Config>, place: &Place) -> Result<(), ApiError> {
    let stands = match place {
        Place::File => config.scope.place(),
        Place::Group(_) => verify::Place::Group,
    };
    let context = Context { cluster, own: Some(config) };
    let checked = verify(rule, context, stands).map_err(ApiError::failed)?;
    drop(checked);
    match rule.errors.first() {
        Some(wrong) => Err(ApiError::Verified(wrong.clone())),
        None => Ok(()),
    }
}
