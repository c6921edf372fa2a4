//! The status page of the admin endpoint: one document with its style and its script inside. It loads
//! nothing from elsewhere, and its policy lets nothing else run: the two are allowed by their hashes.
//!
//! Nothing of the configuration is put into the document. The script asks `/status` and `/history`, and
//! writes what they say as text, never as HTML.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use spillway_service::admin::Answer;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const DOCUMENT: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>spillwayd</title>\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<style>",
    include_str!("page/page.css"),
    "</style>\n</head>\n",
    include_str!("page/body.html"),
    "<script>",
    include_str!("page/page.js"),
    "</script>\n</html>\n"
);

static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        source(SCRIPT),
        source(STYLE)
    )
});

/// How a policy names a script or a style that stands in the document.
fn source(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// The page.
pub(crate) fn page() -> Answer {
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", &POLICY),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    ];
    Answer {
        headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
        body: DOCUMENT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_runs_but_what_stands_in_the_document() {
        assert_eq!(source("abc"), "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='");
        let page = page();
        let policy = &page.headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap().1;
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        for (tag, end) in [("style", "</style>"), ("script", "</script>")] {
            let parts: Vec<_> = page.body.split(&format!("<{tag}>")).collect();
            assert_eq!(parts.len(), 2, "one {tag}");
            let inside = parts[1].split(end).next().unwrap();
            assert!(policy.contains(&format!("{tag}-src {};", source(inside))), "{tag}");
        }
        for word in ["http:", "https:", "innerHTML", "style=", "onclick=", "eval("] {
            let found = page.body.replace("http://www.w3.org/2000/svg", "").contains(word);
            assert!(!found, "{word} in the page");
        }
    }
}
