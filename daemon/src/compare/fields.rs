//! The id and the time of a record.

use std::borrow::Cow;

use super::Item;
use crate::pointer::{self, Pointer};
use crate::sources::event_time::parse_ms;

/// Where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'p> {
    pub(super) id: Option<&'p Pointer>,
    pub(super) time: Option<&'p Pointer>,
}

impl Fields<'_> {
    /// The id, and the time in unix milliseconds.
    pub(super) fn of<'a>(&self, item: Item<'a>) -> (Option<Cow<'a, str>>, Option<i64>) {
        let [id, time] = pointer::extract(item.value, [self.id, self.time]);
        let id = match self.id {
            Some(_) => id.map(Cow::Owned),
            None => item.id.map(Cow::Borrowed),
        };
        let time = match self.time {
            Some(_) => time.and_then(|text| parse_ms(&text)),
            None => item.time_ms,
        };
        (id, time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_goes_before_what_the_topic_says() {
        let item = Item { value: br#"{"a":7,"t":1000}"#, id: Some("header"), time_ms: Some(5) };
        let (a, t, other) = (Pointer::parse("/a"), Pointer::parse("/t"), Pointer::parse("/x"));
        let of = |id: &Option<Pointer>, time: &Option<Pointer>| {
            let (id, time) = Fields { id: id.as_ref(), time: time.as_ref() }.of(item);
            (id.map(Cow::into_owned), time)
        };
        assert_eq!(of(&None, &None), (Some("header".to_owned()), Some(5)));
        assert_eq!(of(&a, &t), (Some("7".to_owned()), Some(1_000_000)));
        assert_eq!(of(&other, &other), (None, None));
    }
}
