//! Wikimedia EventStreams: what a resume brings again, where a stream may begin, and the two forms.

use serde_json::Value;

use super::super::wikimedia::Wikimedia;
use super::*;

fn json(got: &Got) -> Value {
    serde_json::from_str(got.body()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_begins_with_the_same_millisecond_and_some_before() {
    let service = Wikimedia { overlap: 2, canary_every: 0 }.start(by_hand()).unwrap();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    assert_eq!(stream.next().await, Ok(Got::Comment(":ok".into())));
    service.publish(3);
    stream.records(3).await;
    // Published at once, so mostly of one millisecond.
    tokio::time::sleep(Duration::from_millis(3)).await;
    service.publish(4);
    let got = stream.records(4).await;
    drop(stream);
    assert!(service.wait_idle(WAIT));
    service.publish(2);

    let Got::Event(name, id, _) = &got[2] else { panic!("{got:?}") };
    assert_eq!(name, "message");
    let positions: Value = serde_json::from_str(id).unwrap();
    let log = service.log();
    assert_eq!(positions[0]["timestamp"], log[5].event_ms);
    assert_eq!(
        (&positions[1]["offset"], &json(&got[2])["meta"]["id"]),
        (&(-1).into(), &log[5].id.as_str().into())
    );
    let same = log.iter().find(|record| record.event_ms == log[5].event_ms).unwrap().number;
    let mut stream = get(&service.url(), &[("last-event-id", id)]).await.unwrap();
    let first = same - 2;
    let wanted: Vec<u64> = (first..=9).collect();
    assert_eq!(numbers(&service, &stream.records(wanted.len()).await), wanted);
    assert!(service.wait_served(7 + wanted.len() as u64, WAIT));
    assert!((2..=4).contains(&first) && service.missed().is_empty());
    assert_eq!(service.connections()[1].from, Some(first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_where_it_is_told() {
    let service = Wikimedia { overlap: 0, canary_every: 0 }.start(by_hand()).unwrap();
    for _ in 0..3 {
        service.publish(1);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let since = dialect::rfc3339(service.log()[1].event_ms);
    let mut stream = get(&format!("{}?since={since}", service.url()), &[]).await.unwrap();
    assert_eq!(numbers(&service, &stream.records(2).await), [2, 3]);
    let id = r#"[{"topic":"eqiad.mediawiki.recentchange","partition":0,"offset":-1}]"#;
    let mut live = get(&service.url(), &[("last-event-id", id)]).await.unwrap();
    let offset = id.replace("-1", "3");
    let mut third = get(&service.url(), &[("last-event-id", &offset)]).await.unwrap();
    service.publish(1);
    assert_eq!(numbers(&service, &live.records(1).await), [4]);
    assert_eq!(numbers(&service, &third.records(2).await), [3, 4]);
    let bad = get(&service.url(), &[("last-event-id", "7")]).await.err().unwrap();
    assert_eq!((bad.status, &bad.body["title"]), (400, &"Bad Request".into()));
    assert_eq!(get(&format!("{}?since=x", service.url()), &[]).await.err().unwrap().status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_have_no_ids_and_some_events_are_canaries() {
    let service = Wikimedia { overlap: 0, canary_every: 3 }.start(by_hand()).unwrap();
    let mut stream = get(&service.url(), &[("accept", "application/json")]).await.unwrap();
    service.publish(3);
    let got = stream.records(3).await;
    assert!(matches!(got[0], Got::Line(_)));
    assert!(service.wait_served(3, WAIT));
    let domains: Vec<_> = got.iter().map(|got| json(got)["meta"]["domain"] == "canary").collect();
    assert_eq!(domains, [false, false, true]);
    assert_eq!(service.log()[2].what, What::Canary);
    let verdict = crate::oracle::sources::judge(&service.history(), &hashes(&got));
    assert_eq!((verdict.messages, verdict.lost), (vec![3], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_time_is_up_and_an_error_is_an_event() {
    let connection_max = Some(Duration::from_millis(200));
    // The record is there when the stream begins, however late this task is.
    let options = Options { connection_max, growth: Growth::OnDemand, limit: 1, ..Options::default() };
    let service = Wikimedia::default().start(options).unwrap();
    let began = Instant::now();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    stream.records(1).await;
    assert_eq!(stream.rest().await.1, Ending::Cut);
    assert!(began.elapsed() >= Duration::from_millis(200));
    service.fault(Kind::Told);
    let mut stream = get(&service.url(), &[]).await.unwrap();
    let (got, ending) = stream.rest().await;
    let error = got.iter().find(|got| matches!(got, Got::Event(name, ..) if name == "error")).unwrap();
    assert_eq!((json(error)["name"].as_str(), ending), (Some("KafkaSSEError"), Ending::Complete));
    assert!(service.wait_idle(WAIT));
    assert_eq!(ends(&service), [End::Limit, End::Told]);
}
