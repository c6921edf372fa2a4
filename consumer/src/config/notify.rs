//! `[notify]`: who is told of final objects.

use spillway_service::settings::Section;

use crate::notify::{NotifySettings, Webhook};

pub(super) fn notify(section: &Section<'_>, topic_read: &str) -> NotifySettings {
    let topic: Option<String> = section.optional("topic");
    if topic.as_deref() == Some(topic_read) {
        section.problem("topic", "is the topic that is read; use another one for notifications");
    }
    NotifySettings { webhook: webhook(section), topic }
}

fn webhook(section: &Section<'_>) -> Option<Webhook> {
    let url: Option<String> = section.optional("webhook");
    let token = section.secret("webhook_token");
    match &url {
        None if token.is_some() => section.problem("", "a token needs webhook beside it"),
        Some(url) if !url.starts_with("https://") && !url.starts_with("http://") => {
            section.problem("webhook", "must begin with https:// or http://");
        }
        Some(url) if url.starts_with("https://") && !cfg!(feature = "tls") => {
            section.problem("webhook", "this program was built without TLS; build it with --features tls");
        }
        _ => {}
    }
    Some(Webhook { url: url?, token })
}

#[cfg(test)]
mod tests {
    use spillway_service::settings::Environment;

    use crate::config::Config;

    fn parse(notify: &str) -> Result<Config, String> {
        let text = format!(
            "[kafka]\nbrokers = \"k:1\"\ntopic = \"events\"\n[store]\nurl = \"s\"\n[[table]]\nname = \"a\"\n\
             metrics = [\"events\"]\nwindow = \"5m\"\n[notify]\n{notify}\n"
        );
        Config::parse("c.toml", &text, &Environment::default()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn targets_are_read_and_what_cannot_be_is_said() {
        let config = parse("webhook = \"http://loader:1/x\"\ntopic = \"objects\"").unwrap();
        let webhook = config.notify.webhook.unwrap();
        assert_eq!((webhook.url.as_str(), webhook.token.is_none()), ("http://loader:1/x", true));
        assert_eq!(config.notify.topic.as_deref(), Some("objects"));
        let none = parse("").unwrap().notify;
        assert!(none.webhook.is_none() && none.topic.is_none());
        for (bad, why) in [
            ("webhook = \"loader\"", "notify.webhook: must begin with"),
            ("topic = \"events\"", "notify.topic: is the topic that is read"),
            ("webhook_token = \"x\"", "a secret does not belong here"),
            ("url = \"x\"", "notify.url"),
        ] {
            let said = parse(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
