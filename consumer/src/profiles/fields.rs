//! Fields that an event cannot do without, and why a record that lacks one is unreadable.

use std::borrow::Cow;

use super::lenient::Text;
use crate::event::{Needs, Unreadable};
use crate::micros::{self, Micros};

/// What stands at `field`.
pub(super) fn sure<'a>(text: Text<'a>, field: &'static str) -> Result<Cow<'a, str>, Unreadable> {
    text.0.ok_or_else(|| Unreadable::missing(field))
}

/// The time at `field`.
pub(super) fn rfc3339(text: Text<'_>, field: &'static str) -> Result<Micros, Unreadable> {
    let text = sure(text, field)?;
    micros::parse(&text).ok_or_else(|| Unreadable::time(field, "RFC 3339 time", &text))
}

/// Who did it, which must be known only if a table asks for it.
pub(super) fn actor<'a>(
    text: Text<'a>,
    field: &'static str,
    needs: Needs,
) -> Result<Option<Cow<'a, str>>, Unreadable> {
    if needs.actor && text.0.is_none() {
        return Err(Unreadable::missing(field));
    }
    Ok(text.0)
}
