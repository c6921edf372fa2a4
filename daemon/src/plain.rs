//! Text of others, made safe for a terminal.

/// What steers the terminal is shown, not done.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let kept = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_steers_a_terminal_is_shown() {
        assert_eq!(plain("añb 😀"), "añb 😀");
        assert_eq!(plain("a\u{1b}[2J\r\n"), "a\\u{1b}[2J\\r\\n");
    }
}
