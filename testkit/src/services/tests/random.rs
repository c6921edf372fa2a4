//! Two hundred random faults for each service, a naive client that resumes as the service wants, and
//! the oracle: nothing that could be had is lost, and what could not be had is known exactly.

use std::collections::HashSet;

use super::super::mastodon::Mastodon;
use super::super::sse::Sse;
use super::super::wikimedia::Wikimedia;
use super::super::x::X;
use super::*;
use crate::oracle::sources::{Verdict, judge};

/// Quick faults: what takes time in them is short.
fn options(seed: u64, growth: Growth) -> Options {
    let measure = Measure {
        apart: 20,
        stall: Duration::from_millis(400),
        pause: Duration::from_millis(1),
        wait_s: 1,
        big: 200_000,
    };
    let faults = Faults::random(seed, 200, &measure);
    let keep_alive = Duration::from_millis(50);
    Options { growth, seed, faults, keep_alive, limit: 6_000, ..Options::default() }
}

/// Reads until the last record has come, however often it has to connect. Returns what arrived.
async fn read_all(service: &Service) -> Vec<Got> {
    let (mut all, mut last_id) = (Vec::new(), String::new());
    let last = 6_000;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        let mut headers = vec![("accept-encoding", "gzip")];
        if !last_id.is_empty() {
            headers.push(("last-event-id", last_id.as_str()));
        }
        let Ok(mut stream) = get(&service.url(), &headers).await else { continue };
        stream.patience = Duration::from_millis(250);
        while let Ok(got) = stream.next().await {
            if let Got::Event(_, id, _) = &got {
                last_id.clone_from(id);
            }
            all.push(got);
            let state = service.shared.lock();
            let end =
                state.finished && state.connections.last().is_some_and(|own| own.served.contains(&last));
            if end
                && all.last().map(|got| crate::hash(got.body().as_bytes()))
                    == state.log.get(last).map(|r| r.hash)
            {
                return all;
            }
        }
        drop(stream);
    }
    panic!("not all in time; {} served", service.served());
}

/// What arrived, without messages that are in no log, each once.
fn verdict(service: &Service, got: &[Got]) -> Verdict {
    let known: HashSet<u64> = service.log().iter().map(|record| record.hash).collect();
    let message = |got: &&Got| match got {
        Got::Comment(_) => true,
        Got::Line(body) => body.is_empty() || body.starts_with("{\"errors\""),
        Got::Event(name, _, body) => name == "error" || body == "undefined",
    };
    let arrived: Vec<Got> = got.iter().filter(|got| !message(got)).cloned().collect();
    assert!(hashes(&arrived).iter().all(|hash| known.contains(hash)));
    judge(&service.history(), &hashes(&arrived))
}

fn check_all_happened(service: &Service) {
    let state = service.shared.lock();
    assert!(state.faults.is_empty(), "left: {:?}", state.faults);
    assert!(state.connections.len() > 80, "{} connections", state.connections.len());
}

#[tokio::test]
async fn services_with_resume_lose_nothing() {
    let seed = 11;
    println!("seed {seed}");
    let wikimedia = Wikimedia::default().start(options(seed, Growth::OnDemand)).unwrap();
    let sse = Sse::default().start(options(seed + 1, Growth::OnDemand)).unwrap();
    for service in [wikimedia, sse] {
        let got = read_all(&service).await;
        let verdict = verdict(&service, &got);
        assert!(verdict.is_complete(), "lost {:?} torn {:?}", verdict.lost, verdict.torn);
        assert!(verdict.missed().is_empty() && verdict.duplicates > 0);
        check_all_happened(&service);
    }
}

#[tokio::test]
async fn services_without_resume_lose_what_is_known_to_be_missed() {
    let seed = 21;
    println!("seed {seed}");
    let x = X::default().start(options(seed, Growth::Rate(1_500))).unwrap();
    let mastodon = Mastodon::default().start(options(seed + 1, Growth::Rate(1_500))).unwrap();
    for service in [x, mastodon] {
        let got = read_all(&service).await;
        let verdict = verdict(&service, &got);
        assert!(verdict.is_complete(), "lost {:?} torn {:?}", verdict.lost, verdict.torn);
        // What was never served was missed; a reset may take some more that was on its way.
        let missed: HashSet<u64> = verdict.missed().into_iter().collect();
        let log = service.log();
        let unserved: Vec<u64> = service.missed();
        let data: Vec<u64> = unserved
            .into_iter()
            .filter(|n| log[usize::try_from(*n).unwrap() - 1].what == What::Event)
            .collect();
        assert!(!data.is_empty() && data.iter().all(|number| missed.contains(number)));
        let broke = service.history().sessions.iter().any(|session| session.may_lose);
        assert!(broke || missed.len() == data.len());
    }
}
