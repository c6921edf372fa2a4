//! The text of a little HTML, as Mastodon's statuses have it: paragraphs, line breaks, links, entities.
//! No parser of pages: what is no tag and no entity that it knows stays as it is.

use std::borrow::Cow;

/// The text without tags: a line break for `<br>`, an empty line between paragraphs.
pub(super) fn text(html: Cow<'_, str>) -> Cow<'_, str> {
    if !html.contains(['<', '&']) {
        return html;
    }
    // Behind the last `>` no tag ends, so none begins; looking for its end each time would take long.
    let tags_end = html.rfind('>').unwrap_or(0);
    let mut text = String::with_capacity(html.len());
    let mut rest = html.as_ref();
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_tag = rest.starts_with('<') && html.len() - rest.len() < tags_end;
        let taken = if is_tag { tag(rest, &mut text) } else { other(rest, &mut text) };
        rest = &rest[taken..];
    }
    text.push_str(rest);
    Cow::Owned(text.trim_end().to_owned())
}

/// Reads the tag that `html` begins with; returns its length.
fn tag(html: &str, text: &mut String) -> usize {
    let Some(end) = html.find('>') else { return other(html, text) };
    let inside = &html[1..end];
    let is = |name: &str| inside.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    if is("br") {
        text.push('\n');
    } else if is("/p") {
        text.push_str("\n\n");
    }
    end + 1
}

/// Entities are short; what is longer is text.
const ENTITY_MAX: usize = 12;

/// Reads the entity, or the lone character, that `html` begins with; returns its length.
fn other(html: &str, text: &mut String) -> usize {
    if html.starts_with('<') {
        text.push('<');
        return 1;
    }
    let end = html.bytes().take(ENTITY_MAX).position(|b| b == b';');
    let character = end.and_then(|end| character(&html[1..end]));
    text.push(character.unwrap_or('&'));
    if character.is_some() { end.map_or(1, |end| end + 1) } else { 1 }
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            number.ok().and_then(char::from_u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(html: &str) -> String {
        text(Cow::Borrowed(html)).into_owned()
    }

    #[test]
    fn tags_go_and_entities_become_characters() {
        assert_eq!(
            of(
                "<p>it&#39;s <b>cool</b> &amp; &lt;new&gt;<br />yes</p><p>&#x1F600; <a href=\"x\">#tag</a></p>"
            ),
            "it's cool & <new>\nyes\n\n😀 #tag"
        );
        assert_eq!(of("plain"), "plain");
        assert_eq!(
            of("a < b && c &nope; &#xZ; &#1114112; &; é&amp"),
            "a < b && c &nope; &#xZ; &#1114112; &; é&amp"
        );
        assert_eq!(of("<p>1 < 2</p> and 2 < 3"), "1  and 2 < 3", "up to the last > it is a tag");
        assert!(matches!(text(Cow::Borrowed("plain")), Cow::Borrowed(_)));
    }

    #[test]
    fn many_brackets_take_no_quadratic_time() {
        let began = std::time::Instant::now();
        assert_eq!(of(&"<".repeat(500_000)).len(), 500_000);
        assert_eq!(of(&"<b>".repeat(200_000)), "");
        assert_eq!(of(&"&".repeat(500_000)).len(), 500_000);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(html in "([<>&;#xé]|amp|br|/p|39|\\PC){0,40}") {
            let text = of(&html);
            prop_assert!(text.len() <= html.len());
        }
    }
}
