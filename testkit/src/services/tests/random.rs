//! Two hundred random faults for each service, a naive client that resumes as the service wants, and
//! the oracle: nothing that could be had is lost, and what could not be had is known exactly.

use std::collections::HashSet;

use super::super::mastodon::Mastodon;
use super::super::sse::Sse;
use super::super::wikimedia::Wikimedia;
use super::super::x::X;
use super::*;
use crate::oracle::sources::{Verdict, judge};

const LAST: u64 = 6_000;

/// `SPILLWAY_SEED`, else always the same; printed, so that a failure can be repeated.
fn seed() -> u64 {
    let seed = std::env::var("SPILLWAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    println!("SPILLWAY_SEED={seed}");
    seed
}

/// Quick faults: what takes time in them is short.
fn options(seed: u64, growth: Growth, limit: u64) -> Options {
    let measure = Measure {
        apart: 20,
        stall: Duration::from_millis(400),
        pause: Duration::from_millis(1),
        wait_s: 1,
        big: 200_000,
        denials: 2,
    };
    let faults = Faults::random(seed, 200, &measure);
    let keep_alive = Duration::from_millis(50);
    Options { growth, seed, faults, keep_alive, limit, ..Options::default() }
}

/// Reads until `enough`, however often it has to connect. Returns what arrived.
async fn read_until(service: &Service, enough: impl Fn(&Got, &State) -> bool) -> Vec<Got> {
    let (mut all, mut last_id) = (Vec::new(), String::new());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        let mut headers = vec![("accept-encoding", "gzip")];
        if !last_id.is_empty() {
            headers.push(("last-event-id", last_id.as_str()));
        }
        let Ok(mut stream) = get(&service.url(), &headers).await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        stream.patience = Duration::from_millis(250);
        while let Ok(got) = stream.next().await {
            if let Got::Event(_, id, _) = &got {
                last_id = id.clone();
            }
            let done = enough(&got, &service.shared.lock());
            all.push(got);
            if done {
                drop(stream);
                assert!(service.wait_idle(WAIT));
                return all;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{} served", service.served());
        }
        drop(stream);
        assert!(service.wait_idle(WAIT));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_with_resume_lose_nothing() {
    let seed = seed();
    let wikimedia = Wikimedia::default().start(options(seed, Growth::OnDemand, LAST)).unwrap();
    let sse = Sse::default().start(options(seed + 1, Growth::OnDemand, LAST)).unwrap();
    for service in [wikimedia, sse] {
        let last = |got: &Got, state: &State| {
            let hash = crate::hash(got.body().as_bytes());
            state.log.get(LAST).is_some_and(|record| record.hash == hash)
        };
        let got = read_until(&service, last).await;
        let verdict = verdict(&service, &got);
        assert!(verdict.is_complete(), "lost {:?} torn {:?}", verdict.lost, verdict.torn);
        assert!(verdict.missed().is_empty() && verdict.duplicates > 0);
        check_all_happened(&service);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_without_resume_lose_what_is_known_to_be_missed() {
    let seed = seed();
    let x = X::default().start(options(seed, Growth::Rate(1_500), u64::MAX)).unwrap();
    let mastodon = Mastodon::default().start(options(seed + 1, Growth::Rate(1_500), u64::MAX)).unwrap();
    for service in [x, mastodon] {
        // A stream that is open then stays so: nothing that is unread ends in order.
        let calm = |_: &Got, state: &State| {
            state.faults.is_empty() && state.refusals.is_empty() && state.streaming > 0
        };
        let got = read_until(&service, calm).await;
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
        check_all_happened(&service);
    }
}
