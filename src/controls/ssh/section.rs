//! What one control puts into the drop-in: global lines and `Match` blocks.

use std::fmt::Write as _;

/// The lines of one control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Lines before any `Match`.
    pub globals: Vec<Line>,
    /// Blocks for some logins, in order.
    pub exceptions: Vec<Block>,
    /// Lines that hold for everybody no exception names, whatever any other file says.
    pub everybody: Vec<Line>,
}

/// Keyword and value.
pub type Line = (&'static str, String);

/// A `Match` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Who that is.
    pub note: &'static str,
    /// What follows `Match`.
    pub criteria: String,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Section {
    /// Drops a keyword from the lines for everybody.
    pub fn leave_out(&mut self, keyword: &str) {
        self.globals.retain(|(name, _)| !name.eq_ignore_ascii_case(keyword));
        self.everybody.retain(|(name, _)| !name.eq_ignore_ascii_case(keyword));
    }

    /// The chunks of the drop-in.
    pub fn chunks(&self, id: &str) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        if !self.globals.is_empty() {
            let mut text = format!("# {id}\n");
            for (keyword, value) in &self.globals {
                let _ = writeln!(text, "{keyword} {value}");
            }
            chunks.push(Chunk { id: id.into(), place: Place::Global, text });
        }
        for block in &self.exceptions {
            chunks.push(Chunk { id: id.into(), place: Place::Exception, text: block.text(id) });
        }
        if !self.everybody.is_empty() {
            let block = Block { note: EVERYBODY, criteria: "all".into(), lines: self.everybody.clone() };
            chunks.push(Chunk { id: id.into(), place: Place::Everybody, text: block.text(id) });
        }
        chunks
    }
}

const EVERYBODY: &str = "everybody else, whatever a later file says";

impl Block {
    fn text(&self, id: &str) -> String {
        let mut text = format!("# {id}: {}\nMatch {}\n", self.note, self.criteria);
        for (keyword, value) in &self.lines {
            let _ = writeln!(text, "    {keyword} {value}");
        }
        text
    }
}

/// Where a chunk stands: sshd takes the first value, so exceptions come before what holds for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Before any `Match`.
    Global,
    /// A `Match` for some logins.
    Exception,
    /// `Match all`.
    Everybody,
}

/// A comment that names the control, and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Control.
    pub id: String,
    /// Where it stands.
    pub place: Place,
    /// The text with its comment line, ending in a newline.
    pub text: String,
}
