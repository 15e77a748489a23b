//! Colour for a terminal, never the only carrier of what is said.
//!
//! Source: ECMA-48, the eight colours that every terminal has.
//! Left out: backgrounds, which fight with the user's own.

/// Whether to paint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    /// A title.
    pub(super) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What may be passed over.
    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What went well.
    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What went wrong.
    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
