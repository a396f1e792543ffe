//! Meaning → colour. Everything reads the same without it.

use anstyle::{AnsiColor, Style};

/// Colours, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    on: bool,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// A heading.
    Heading,
    /// New or right.
    Good,
    /// Gone or wrong.
    Bad,
    /// Needs attention.
    Warn,
    /// A place, a hunk header.
    Place,
    /// Less important.
    Faint,
}

impl Palette {
    /// Text as it is.
    pub const PLAIN: Self = Self { on: false };

    /// With colours when `on`.
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether there are colours.
    pub const fn is_on(self) -> bool {
        self.on
    }

    /// The text in its tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Heading => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Place => AnsiColor::Cyan.on_default(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_where_it_is_wanted() {
        assert_eq!(Palette::PLAIN.paint(Tone::Bad, "x"), "x");
        assert_eq!(Palette::new(true).paint(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
