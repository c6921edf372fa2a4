//! X's filtered stream: who may connect, what is missed, what a backfill brings, and the rules.

use serde_json::{Value, json};

use super::super::x::{Rules, X};
use super::*;

fn titles(refused: &Refused) -> (u16, &str) {
    (refused.status, refused.body["title"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_rules_and_a_free_place_are_needed() {
    let x = X { token: Some("t".into()), ..X::default() };
    let rules = x.rules.clone();
    let service = x.start(by_hand()).unwrap();
    let bearer = [("authorization", "Bearer t")];
    let stream = async |headers| get(&service.url(), headers).await;
    assert_eq!(titles(&stream(&[]).await.err().unwrap()), (401, "Unauthorized"));
    assert_eq!(titles(&stream(&[("authorization", "Bearer u")]).await.err().unwrap()), (401, "Unauthorized"));

    let one = stream(&bearer).await.unwrap();
    let second = stream(&bearer).await.err().unwrap();
    assert_eq!(titles(&second), (429, "ConnectionException"));
    assert_eq!(second.body["connection_issue"], "TooManyConnections");
    drop(one);
    assert!(service.wait_idle(WAIT));

    rules.clear();
    let without = stream(&bearer).await.err().unwrap();
    assert_eq!(titles(&without), (409, "ConnectionException"));
    assert_eq!(without.body["connection_issue"], "RuleConfigurationIssue");
    let seen: Vec<u16> = service.connections().iter().map(|connection| connection.status).collect();
    assert_eq!(seen, [401, 401, 200, 429, 409]);
    assert_eq!(service.connections()[2].header("authorization"), Some("Bearer t"));
    let other = get(&format!("{}/2/tweets", service.base()), &bearer).await.err().unwrap();
    assert_eq!(titles(&other), (404, "Not Found"));
    assert_eq!(service.other_requests(), [("GET".into(), "/2/tweets".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_a_client_is_away_is_gone_and_known() {
    let service = X::default().start(by_hand()).unwrap();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    service.publish(3);
    let mut got = stream.records(3).await;
    let first: Value = serde_json::from_str(got[0].body()).unwrap();
    assert_eq!(first["matching_rules"][0]["tag"], "water");
    assert_eq!(first["data"]["id"], service.log()[0].id);
    assert_eq!(first["data"]["created_at"], dialect::rfc3339(service.log()[0].event_ms));
    drop(stream);
    assert!(service.wait_idle(WAIT));
    service.publish(2);
    let mut stream = get(&service.url(), &[]).await.unwrap();
    service.publish(4);
    got.extend(stream.records(4).await);
    assert!(service.wait_served(7, WAIT));
    assert_eq!(numbers(&service, &got), [1, 2, 3, 6, 7, 8, 9]);
    assert_eq!(service.missed(), [4, 5]);
    let verdict = crate::oracle::sources::judge(&service.history(), &hashes(&got));
    assert!(verdict.is_complete() && verdict.duplicates == 0);
    assert_eq!(verdict.missed(), [4, 5]);
    let (log, gap) = (service.log(), &verdict.gaps[0]);
    assert_eq!((gap.from_ms, gap.to_ms), (log[2].event_ms, log[5].event_ms));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_publishes_while_nobody_listens() {
    let options = Options { growth: Growth::Rate(1_000), ..Options::default() };
    let service = X::default().start(options).unwrap();
    assert!(service.log().is_empty(), "the clock runs from the first stream on");
    let mut stream = get(&service.url(), &[]).await.unwrap();
    assert_eq!(numbers(&service, &stream.records(20).await), (1..=20).collect::<Vec<_>>());
    drop(stream);
    assert!(service.wait_idle(WAIT));
    let last = service.connections()[0].served.len() as u64;
    while (service.log().len() as u64) < last + 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut stream = get(&service.url(), &[]).await.unwrap();
    stream.records(1).await;
    assert!(service.wait_served(last + 1, WAIT));
    let next = service.connections()[1].from.unwrap();
    assert_eq!(service.missed(), (last + 1..next).collect::<Vec<_>>());
    assert!(next > last + 10);
    let log = service.log();
    assert!(log.iter().is_sorted_by_key(|record| record.born));
    let (first, last) = (&log[0], &log[log.len() - 1]);
    assert_eq!(last.event_ms - first.event_ms, i64::try_from(log.len() - 1).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_of_life_is_an_empty_line() {
    let service = X::default().start(Options { keep_alive: Duration::from_millis(30), ..by_hand() }).unwrap();
    // Before the server's clock begins, however late this task is after that.
    let began = Instant::now();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    assert_eq!(stream.next().await, Ok(Got::Line(String::new())));
    assert_eq!(stream.next().await, Ok(Got::Line(String::new())));
    assert!(began.elapsed() >= Duration::from_millis(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_serves_the_last_minutes_again_in_no_order_and_some_twice() {
    let minute = Duration::from_secs(60);
    let service = X { backfill: Some(minute), ..X::default() }.start(by_hand()).unwrap();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    service.publish(4);
    stream.records(4).await;
    drop(stream);
    assert!(service.wait_idle(WAIT));
    service.publish(3);
    let mut stream = get(&format!("{}?backfill_minutes=1", service.url()), &[]).await.unwrap();
    service.publish(1);
    let got = numbers(&service, &stream.records(10).await);
    assert_eq!(got, [3, 2, 1, 6, 5, 4, 7, 3, 4, 8]);
    assert!(service.wait_served(14, WAIT));
    assert!(service.missed().is_empty());
    assert_eq!(service.connections()[1].target, "/2/tweets/search/stream?backfill_minutes=1");
    drop(stream);
    assert!(service.wait_idle(WAIT));
    assert!(get(&format!("{}?backfill_minutes=0", service.url()), &[]).await.is_ok());
    assert!(service.wait_idle(WAIT));
    let refused = get(&format!("{}?backfill_minutes=6", service.url()), &[]).await.err().unwrap();
    assert_eq!(titles(&refused), (400, "Invalid Request"));
    let plain = X::default().start(by_hand()).unwrap();
    let refused = get(&format!("{}?backfill_minutes=1", plain.url()), &[]).await.err().unwrap();
    assert_eq!(refused.status, 400, "the plan does not allow it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_reaches_no_further_than_its_minutes() {
    let minute = Duration::from_millis(100);
    let service = X { backfill: Some(minute), ..X::default() }.start(by_hand()).unwrap();
    drop(get(&service.url(), &[]).await.unwrap());
    assert!(service.wait_idle(WAIT));
    service.publish(2);
    tokio::time::sleep(2 * minute).await;
    service.publish(1);
    let mut stream = get(&format!("{}?backfill_minutes=1", service.url()), &[]).await.unwrap();
    service.publish(1);
    // The minute may have passed on a busy machine; the old ones never come.
    let got = numbers(&service, &stream.records(1).await);
    assert!(got == [3] || got == [4], "{got:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_connects_are_refused_until_the_window_has_passed() {
    let window = Duration::from_secs(5);
    let service = X { connects_max: Some((2, window)), ..X::default() }.start(by_hand()).unwrap();
    let before = now_ms();
    for _ in 0..2 {
        drop(get(&service.url(), &[]).await.unwrap());
        assert!(service.wait_idle(WAIT));
    }
    let refused = get(&service.url(), &[]).await.err().unwrap();
    assert_eq!(refused.status, 429);
    let reset: i64 = refused.headers["x-rate-limit-reset"].to_str().unwrap().parse().unwrap();
    // A window after the first connect, in whole seconds.
    let (reset, after) = (reset * 1_000, now_ms());
    assert!((before + 4_000..=after + 6_000).contains(&reset), "{before} {reset} {after}");
    // The refused one counts too, so only when both windows have passed it is free again.
    tokio::time::sleep(window).await;
    assert!(get(&service.url(), &[]).await.is_ok());
}

async fn post(service: &Service, query: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/2/tweets/search/stream/rules{query}", service.base());
    let response = client().post(url).body(body.to_string()).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

async fn fetch(service: &Service, path: &str) -> Value {
    let url = format!("{}/2/tweets/search/stream/rules{path}", service.base());
    serde_json::from_slice(&client().get(url).send().await.unwrap().bytes().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_added_and_deleted_as_x_does() {
    let rules = Rules::limited([("dam", "water")], 4, 30);
    let service = X { rules: rules.clone(), ..X::default() }.start(by_hand()).unwrap();
    let added = json!({"add": [{"value": "flood", "tag": "f"}, {"value": "dam"}]});
    let (status, body) = post(&service, "?dry_run=true", added.clone()).await;
    assert_eq!((status, rules.list().len()), (201, 1));
    assert_eq!(body["errors"][0]["title"], "DuplicateRule");
    assert_eq!(body["errors"][0]["id"], rules.list()[0].id);
    let (status, body) = post(&service, "", added).await;
    assert_eq!(status, 201);
    let summary = json!({"created": 1, "not_created": 1, "valid": 1, "invalid": 1});
    assert_eq!((&body["meta"]["summary"], &body["data"][0]["tag"]), (&summary, &json!("f")));
    let (status, _) = post(&service, "", json!({"add": [{"value": "dam"}]})).await;
    assert_eq!(status, 200, "nothing but a duplicate");

    for invalid in ["", "from:", "(a", "\"a", &"x".repeat(31)] {
        let (status, body) =
            post(&service, "", json!({"add": [{"value": "good"}, {"value": invalid}]})).await;
        assert_eq!((status, rules.list().len()), (400, 2), "{invalid}");
        assert_eq!(body["errors"][0]["value"], invalid);
        assert!(body["errors"][0]["details"][0].is_string() && body.get("data").is_none());
    }
    let many = json!({"add": [{"value": "a"}, {"value": "b"}, {"value": "c"}]});
    assert_eq!(post(&service, "", many).await.0, 422);
    assert_eq!(post(&service, "", json!({"remove": 1})).await.0, 400);

    let id = &rules.list()[1].id;
    let (status, body) = post(&service, "", json!({"delete": {"ids": [id, "7"]}})).await;
    assert_eq!((status, rules.list().len()), (200, 1));
    assert_eq!(body["meta"]["summary"], json!({"deleted": 1, "not_deleted": 1}));
    post(&service, "?dry_run=true", json!({"delete": {"values": ["dam"]}})).await;
    assert_eq!(rules.list().len(), 1);
    post(&service, "", json!({"delete": {"values": ["dam"]}})).await;
    assert!(rules.list().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_listed_by_page_and_counted() {
    let rules = Rules::new([("a", "1"), ("b", "2"), ("c", "3")]);
    let service = X { rules: rules.clone(), ..X::default() }.start(by_hand()).unwrap();
    let page = fetch(&service, "?max_results=2").await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["meta"]["result_count"]), (2, &json!(2)));
    let next = page["meta"]["next_token"].as_str().unwrap();
    let page = fetch(&service, &format!("?max_results=2&pagination_token={next}")).await;
    assert_eq!(page["data"], json!([{"id": rules.list()[2].id, "value": "c", "tag": "3"}]));
    assert!(page["meta"].get("next_token").is_none());
    let one = fetch(&service, &format!("?ids={}", rules.list()[1].id)).await;
    assert_eq!(one["data"][0]["value"], "b");
    assert_eq!(fetch(&service, "/counts").await["data"]["project_rules_count"], 3);
    rules.clear();
    assert!(fetch(&service, "").await.get("data").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_so_in_the_stream_when_it_ends_it() {
    let service = X::default().start(by_hand()).unwrap();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    service.fault(Kind::Message);
    let Ok(Got::Line(line)) = stream.next().await else { panic!("no line") };
    assert!(line.contains("not-authorized-for-field"));
    service.fault(Kind::Told);
    let (lines, ending) = stream.rest().await;
    let message: Value = serde_json::from_str(lines[0].body()).unwrap();
    assert_eq!(message["errors"][0]["disconnect_type"], "UpstreamOperationalDisconnect");
    assert_eq!((lines.len(), ending), (1, Ending::Complete));
    assert!(service.wait_idle(WAIT));
    assert_eq!(ends(&service), [End::Told]);
}
