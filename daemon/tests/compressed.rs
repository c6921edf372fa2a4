//! A compressed stream that breaks off: every record that came whole is taken.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail loudly")]

use std::time::Duration;

use spillway_daemon::Config;
use spillway_daemon::config::SourceKind;
use spillway_daemon::sources::{Event, HttpSource};
use spillway_service::settings::Environment;
use spillway_testkit::services::x::X;
use spillway_testkit::services::{Close, Faults, Growth, Kind, Options};

const WAIT: Duration = Duration::from_secs(20);
/// Records of the compressed connection.
const RECORDS: usize = 40;

/// The second connection is compressed; it ends right behind its last record.
#[tokio::test(flavor = "multi_thread")]
async fn the_records_before_the_end_of_a_compressed_stream_are_taken() {
    for close in [Close::Fin, Close::Complete] {
        let faults = Faults::script([(1, Kind::Gzip), (1 + RECORDS as u64, Kind::End(close))]);
        let options = Options { growth: Growth::OnDemand, faults, ..Options::default() };
        let service = X::default().start(options).unwrap();
        let text = format!(
            "[source]\ntype = 'http_ndjson'\nurl = '{}'\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n",
            service.url()
        );
        let config = Config::parse("test.toml", &text, &Environment::default()).unwrap();
        let SourceKind::Http(http) = &config.sources[0].kind else { panic!("no HTTP source") };
        let mut source = HttpSource::new("test", (**http).clone(), 1 << 20, None).unwrap();
        let (mut lines, mut ends) = (Vec::new(), 0);
        while ends < 2 {
            match tokio::time::timeout(Duration::from_secs(20), source.next()).await.unwrap() {
                Event::Lines(more) if ends == 1 => lines.extend(more),
                Event::Disconnected(_) => ends += 1,
                // Looks again only when all of it is there, and the end with it.
                Event::Connected => assert!(tokio::task::block_in_place(|| service.wait_idle(WAIT))),
                _ => {}
            }
        }
        let log = service.log();
        let served: Vec<_> = log[1..=RECORDS].iter().map(|record| record.body.clone()).collect();
        assert!(service.connections()[1].gzip);
        assert_eq!(
            lines.iter().map(|line| &line.bytes).collect::<Vec<_>>(),
            served.iter().collect::<Vec<_>>()
        );
    }
}
