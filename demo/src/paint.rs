//! Colours, where they are wanted: on a terminal, unless `NO_COLOR` is set or the terminal is dumb.

use std::io::IsTerminal;

/// Paints words, or leaves them as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
    terminal: bool,
}

impl Paint {
    /// What suits standard output.
    pub(crate) fn for_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal() && !dumb;
        Self { on: terminal && !set("NO_COLOR"), terminal }
    }

    /// Whether standard output is a terminal on which lines can be redrawn.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with("1;32", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.with("1;33", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn accent(self, text: &str) -> String {
        self.with("1;36", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { on: false, terminal: false }
    }
}
