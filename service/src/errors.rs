//! Errors as one line for a log or a terminal.

use std::error::Error;

/// The error followed by its causes: `cannot open the spool: …: Permission denied`.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
