//! As much XML as the listings of S3 have: elements that hold text.

/// The texts of all elements of this name, in order, entities resolved.
pub(super) fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1);
    parts.filter_map(|part| Some(unescape(part.split_once(&close)?.0))).collect()
}

/// An element with a text.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let xml = format!("<a>{}{}</a>", element("Key", "x<&>y"), element("Key", "&lt;"));
        assert_eq!(texts(&xml, "Key"), ["x<&>y", "&lt;"]);
        assert!(texts(&xml, "Prefix").is_empty());
    }
}
