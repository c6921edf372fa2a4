//! The configurations of the daemon and the consumer, written as a user would write them. They stay in
//! the demo's folder to be looked at.

use std::path::Path;
use std::time::Duration;

use spillway_service::settings::Environment;

use crate::args::{Args, Order};
use crate::error::Error;
use crate::folder::Folder;
use crate::input::Input;

/// The topic.
pub(crate) const TOPIC: &str = "events";
/// Its partitions.
pub(crate) const PARTITIONS: i32 = 12;
/// The least time that a window stays open for stragglers.
const DELAY_MIN: Duration = Duration::from_secs(30);
/// The longest that the consumer accepts.
const DELAY_MAX: Duration = Duration::from_secs(86_400);

/// Writes the daemon's configuration and reads it back.
pub(crate) fn daemon(
    args: &Args,
    folder: &Folder,
    url: &str,
    brokers: &str,
) -> Result<spillway_daemon::Config, Error> {
    let text = format!(
        "# What the demo ran spillwayd with. Try: spillwayd check --config {file}\n\
         [daemon]\n\
         id = \"demo\"\n\n\
         [source]\n\
         type = \"http_ndjson\"\n\
         url = {url}\n\
         id = \"/data/id\"               # the posts' own ids become the spillway-id header\n\n\
         [kafka]\n\
         brokers = {brokers}\n\
         topic = \"{TOPIC}\"\n\n\
         [delivery]\n\
         order = \"{order}\"\n\
         journal = \"{journal}\"\n\n\
         [spool]\n\
         dir = {spool}\n\
         free_floor = \"128MiB\"         # a demo need not leave a whole GiB free\n\n\
         [admin]\n\
         listen = \"none\"\n",
        file = folder.daemon_config().display(),
        url = quoted(url),
        brokers = quoted(brokers),
        order = args.order.name(),
        journal = args.journal.name(),
        spool = quoted_path(&folder.spool()),
    );
    let path = folder.daemon_config();
    write(&path, &text)?;
    spillway_daemon::Config::read(&path, &Environment::default()).map_err(Error::Config)
}

/// Writes the consumer's configuration and reads it back.
pub(crate) fn consumer(
    args: &Args,
    folder: &Folder,
    input: &Input,
    brokers: &str,
) -> Result<spillway_consumer::Config, Error> {
    let text = format!(
        "# What the demo ran spillway-consumer with. Try: spillway-consumer check --config {file}\n\
         [kafka]\n\
         brokers = {brokers}\n\
         topic = \"{TOPIC}\"\n\
         group = \"spillway-demo\"\n\n\
         [kafka.options]\n\
         # The in-process cluster forgets after 5 MiB a partition: be quick, above all after an outage.\n\
         \"fetch.wait.max.ms\" = 10\n\
         \"reconnect.backoff.max.ms\" = 200\n\
         # The in-process cluster keeps an expelled member's seat for long: stay a member over the outage.\n\
         \"session.timeout.ms\" = {session}\n\
         \"max.poll.interval.ms\" = {poll}\n\n\
         [input]\n\
         profile = \"x_v2\"\n\n\
         [time]\n\
         delay = \"{delay}s\"\n\
         idle_timeout = \"{idle}s\"          # an outage is no silence of the upstream\n\n\
         [store]\n\
         url = {store}\n\n\
         [[table]]\n\
         name = \"activity\"\n\
         window = \"5m\"\n\
         metrics = [\"events\", \"reposts\", \"referencing\", \"unique_actors\"]\n\n\
         [[table]]\n\
         name = \"city_activity\"\n\
         window = \"5m\"\n\
         group_by = [\"place\"]\n\
         filter = {{ place_type = \"city\" }}\n\
         metrics = [\"events\", \"reposts\", \"referencing\", \"unique_actors\"]\n\n\
         [[table]]\n\
         preset = \"happiest_hashtags\"     # the 10 hashtags with the most :), hour by hour\n\n\
         [[table]]\n\
         preset = \"sentiment_extremes\"    # sentiment, the most positive and negative post, in 5 minutes\n",
        file = folder.consumer_config().display(),
        brokers = quoted(brokers),
        delay = delay(args.order, input).as_secs(),
        idle = args.outage.as_secs() + 60,
        session = args.outage.as_millis() + 45_000,
        poll = args.outage.as_millis() + 345_000,
        store = quoted_path(&folder.store()),
    );
    let path = folder.consumer_config();
    write(&path, &text)?;
    spillway_consumer::Config::read(&path, &Environment::default()).map_err(Error::Config)
}

/// How long windows must stay open so that nothing is late: as long as event times go back, and, when
/// new records overtake the backlog, as long as all of them span.
fn delay(order: Order, input: &Input) -> Duration {
    let wanted = match order {
        Order::Arrival => input.disorder * 2,
        Order::Fresh => input.span + WHOLE_SECOND,
    };
    wanted.clamp(DELAY_MIN, DELAY_MAX)
}

const WHOLE_SECOND: Duration = Duration::from_secs(1);

/// Whether some events will be late whatever the consumer does.
pub(crate) fn is_too_disordered(order: Order, input: &Input) -> bool {
    let needed = if order == Order::Fresh { input.span } else { input.disorder };
    needed > DELAY_MAX
}

/// A JSON string is a TOML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use spillway_testkit::upstream::Feed;

    use super::*;

    fn input(disorder: u64, span: u64) -> Input {
        let [disorder, span] = [disorder, span].map(Duration::from_secs);
        Input { feed: Feed::lines([]), records: 1, outage_at: 1, disorder, span }
    }

    #[test]
    fn both_configurations_are_valid_even_in_an_odd_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::claim(&dir.path().join("it's \"here\" \\ # ünd")).unwrap();
        for args in [&["demo"][..], &["demo", "--order", "fresh", "--journal", "always", "--outage", "0.2"]] {
            let args = Args::try_parse_from(args).unwrap();
            let config =
                daemon(&args, &folder, "http://127.0.0.1:1/2/tweets/search/stream", "127.0.0.1:2").unwrap();
            assert_eq!(config.spool.dir, folder.spool());
            let config = consumer(&args, &folder, &input(6, 3606), "127.0.0.1:2").unwrap();
            let tables: Vec<&str> = config.tables.iter().map(|table| &*table.name).collect();
            assert_eq!(tables, ["activity", "city_activity", "happiest_hashtags", "sentiment_extremes"]);
        }
    }

    #[test]
    fn windows_stay_open_as_long_as_the_input_is_out_of_order() {
        assert_eq!(delay(Order::Arrival, &input(6, 3_600)).as_secs(), 30);
        assert_eq!(delay(Order::Arrival, &input(600, 3_600)).as_secs(), 1_200);
        assert_eq!(delay(Order::Fresh, &input(6, 3_600)).as_secs(), 3_601);
        assert_eq!(delay(Order::Fresh, &input(6, 1_000_000)).as_secs(), 86_400);
        assert!(is_too_disordered(Order::Fresh, &input(6, 1_000_000)));
        assert!(!is_too_disordered(Order::Arrival, &input(6, 1_000_000)));
    }
}
