//! Results as tables, with lines of box letters where the locale has them and of ASCII where not.

use std::fmt::Write as _;

use serde_json::Value;

use super::options::Format;

/// A column: its name, and whether numbers stand at its right edge.
pub type Column = (&'static str, bool);

/// Letters that lines are made of.
struct Lines {
    top: [&'static str; 4],
    head: [&'static str; 4],
    between: [&'static str; 4],
    bottom: [&'static str; 4],
    bar: &'static str,
}

const BOX: Lines = Lines {
    top: ["┌", "─", "┬", "┐"],
    head: ["╞", "═", "╪", "╡"],
    between: ["├", "─", "┼", "┤"],
    bottom: ["└", "─", "┴", "┘"],
    bar: "│",
};
const ASCII: Lines = Lines {
    top: ["+", "-", "+", "+"],
    head: ["+", "=", "+", "+"],
    between: ["+", "-", "+", "+"],
    bottom: ["+", "-", "+", "+"],
    bar: "|",
};

/// Draws rows of cells below their column names.
pub fn draw(columns: &[Column], rows: &[Vec<String>], format: &Format, unicode: bool) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, (name, _))| {
            let cells = rows.iter().flat_map(|row| row[index].lines().map(|line| line.chars().count()));
            cells.chain([name.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let head: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    if format.no_border {
        return without_lines(columns, &widths, (!format.no_header).then_some(&head), rows);
    }
    let lines = if unicode { &BOX } else { &ASCII };
    let mut text = rule(&lines.top, &widths);
    if !format.no_header {
        text.push_str(&cells(columns, &widths, &head, lines.bar));
        text.push_str(&rule(&lines.head, &widths));
    }
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            text.push_str(&rule(&lines.between, &widths));
        }
        text.push_str(&cells(columns, &widths, row, lines.bar));
    }
    text.push_str(&rule(&lines.bottom, &widths));
    text
}

fn without_lines(columns: &[Column], widths: &[usize], head: Option<&Vec<String>>, rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in head.into_iter().chain(rows) {
        let padded: Vec<String> =
            row.iter().zip(columns).zip(widths).map(|((cell, (_, right)), width)| pad(cell, *width, *right)).collect();
        text.push_str(&padded.join(" "));
        text.push('\n');
    }
    text
}

fn rule([left, line, cross, right]: &[&str; 4], widths: &[usize]) -> String {
    let parts: Vec<String> = widths.iter().map(|width| line.repeat(width + 2)).collect();
    format!("{left}{}{right}\n", parts.join(cross))
}

/// One row; a cell of several lines makes it taller.
fn cells(columns: &[Column], widths: &[usize], row: &[String], bar: &str) -> String {
    let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(1).max(1);
    let mut text = String::new();
    for level in 0..height {
        text.push_str(bar);
        for ((cell, (_, right)), width) in row.iter().zip(columns).zip(widths) {
            let line = cell.lines().nth(level).unwrap_or_default();
            let _ = write!(text, " {} {bar}", pad(line, *width, *right));
        }
        text.push('\n');
    }
    text
}

fn pad(cell: &str, width: usize, right: bool) -> String {
    let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
    if right { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
}

/// A value in a cell.
pub fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
