//! Each fault, seen from both sides: what the client is told, and what the server has done.

use std::time::{Duration, Instant};

use super::*;
use crate::s3::{Client, Error as Failure, Memory, Put};

struct Rig {
    direct: Client,
    via: Client,
    proxy: Proxy,
    _server: Memory,
}

fn rig(faults: &[Fault]) -> Rig {
    let server = Memory::start().unwrap();
    let weather = Weather { share: 1.0, faults: faults.to_vec(), in_a_row: 1, ..Weather::rough() };
    let proxy = Proxy::start(&server.endpoint(), 1, weather).unwrap();
    let direct = Client::new(&server.endpoint(), "spillway-test");
    direct.create_bucket().unwrap();
    Rig { via: Client::new(&proxy.endpoint(), "spillway-test"), direct, proxy, _server: server }
}

/// The status that the client saw, or `None` for a broken connection.
fn status(outcome: &Result<Put, Failure>) -> Option<u16> {
    match outcome {
        Ok(Put::Created) => Some(200),
        Ok(Put::Refused) => Some(412),
        Err(Failure::Status { status, .. }) => Some(*status),
        Err(_) => None,
    }
}

#[test]
fn what_the_client_is_told_and_what_was_done() {
    let expected = [
        (Fault::Slow, Some(200), true),
        (Fault::ErrorBefore, Some(500), false),
        (Fault::Busy, Some(503), false),
        (Fault::Conflict, Some(412), false),
        (Fault::ResetBefore, None, false),
        (Fault::ErrorAfter, Some(500), true),
        (Fault::ResetAfter, None, true),
        (Fault::Cut, None, true),
    ];
    for (fault, told, done) in expected {
        let rig = rig(&[fault]);
        assert_eq!(status(&rig.via.create("a", b"1")), told, "{fault:?}");
        assert_eq!(rig.direct.read("a").unwrap().is_some(), done, "{fault:?}");
        let counts = rig.proxy.counts();
        assert_eq!((counts.faults.get(&fault), counts.requests.get("PUT")), (Some(&1), Some(&1)));
        assert_eq!(counts.untold, u64::from(fault.is_ambiguous()), "{fault:?}");
        // The row of faults is over: the next request passes.
        if fault != Fault::Slow {
            let again = if done { Put::Refused } else { Put::Created };
            assert_eq!(rig.via.create("a", b"2").unwrap(), again, "{fault:?}");
        }
    }
}

#[test]
fn a_belated_put_is_done_after_the_client_has_given_up() {
    let rig = rig(&[Fault::Belated]);
    assert_eq!(status(&rig.via.create("a", b"1")), None);
    let deadline = Instant::now() + Duration::from_secs(10);
    while rig.direct.read("a").unwrap().is_none() {
        assert!(Instant::now() < deadline, "it was never done");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(rig.via.create("a", b"2").unwrap(), Put::Refused);
    assert_eq!(rig.direct.read("a").unwrap().as_deref(), Some(&b"1"[..]));
}

#[test]
fn fair_weather_changes_nothing_and_a_store_that_is_down_does_nothing() {
    let rig = rig(&[]);
    rig.via.write("x/1", b"1").unwrap();
    assert_eq!(rig.via.list("x/").unwrap(), ["x/1"]);
    rig.proxy.set(Weather::down());
    assert_eq!(status(&rig.via.create("x/2", b"2")), Some(503));
    assert_eq!(rig.direct.list("x/").unwrap(), ["x/1"]);
    rig.proxy.set(Weather::fair());
    assert_eq!(rig.via.read("x/1").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(rig.proxy.counts().refused, 1);
}
