//! Words of the command line that completion knows and the parser does not bind.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};

use crate::controls::CATALOGUE;

/// The id of a control or a glob. Completion offers the ids; any text is taken, and judged where the nearest id can be named.
#[derive(Clone, Debug)]
pub struct ControlName;

impl TypedValueParser for ControlName {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(CATALOGUE.iter().map(|control| PossibleValue::new(control.meta().id))))
    }
}
