//! Mastodon: the token, the signs of life and the kinds of events.

use super::super::mastodon::Mastodon;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_needed_and_the_limit_is_told_as_a_time() {
    let service = Mastodon { token: Some("t".into()), ..Mastodon::default() }.start(by_hand()).unwrap();
    let missing = get(&service.url(), &[]).await.err().unwrap();
    assert_eq!((missing.status, &missing.body["error"]), (401, &"Missing access token".into()));
    let wrong = get(&service.url(), &[("authorization", "Bearer u")]).await.err().unwrap();
    assert_eq!((wrong.status, &wrong.body["error"]), (401, &"Invalid access token".into()));
    service.refuse(429, 1, Some(3));
    let before = now_ms();
    let limited = get(&service.url(), &[("authorization", "Bearer t")]).await.err().unwrap();
    let reset = limited.headers["x-ratelimit-reset"].to_str().unwrap();
    let reset = chrono::DateTime::parse_from_rfc3339(reset).unwrap().timestamp_millis();
    let after = now_ms();
    assert!(
        (before + 2_000..=after + 3_000).contains(&reset) && limited.status == 429,
        "{before} {reset} {after}"
    );
    assert!(get(&format!("{}?access_token=t", service.url()), &[]).await.is_ok());
    let hashtag = format!("{}/api/v1/streaming/hashtag?tag=dam&access_token=t", service.base());
    assert!(get(&hashtag, &[]).await.is_ok());
    assert_eq!(get(&hashtag.replace("hashtag", "x"), &[]).await.err().unwrap().status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_greets_thumps_and_knows_four_kinds_of_events() {
    let mastodon = Mastodon { edit_every: 2, delete_every: 3, filters_every: 5, ..Mastodon::default() };
    let keep_alive = Duration::from_millis(30);
    let service = mastodon.start(Options { keep_alive, ..by_hand() }).unwrap();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    assert_eq!(stream.next().await, Ok(Got::Comment(":)".into())));
    assert_eq!(stream.next().await, Ok(Got::Comment(":thump".into())));
    service.publish(5);
    let got = stream.records(5).await;
    let names: Vec<_> = got
        .iter()
        .map(|got| if let Got::Event(name, id, _) = got { (name.as_str(), id.as_str()) } else { ("", "") })
        .collect();
    let kinds = ["update", "status.update", "delete", "status.update", "filters_changed"];
    assert_eq!(names, kinds.map(|kind| (kind, "")), "and no ids");
    assert_eq!((got[2].body(), got[4].body()), ("110000000000000002", "undefined"));
    let edit: serde_json::Value = serde_json::from_str(got[1].body()).unwrap();
    assert_eq!(edit["id"], service.log()[0].id, "an edit has the id of the status");
    assert!(edit["edited_at"].is_string());
    let what: Vec<_> = service.log().iter().map(|record| record.what).collect();
    assert_eq!(what, [What::Event, What::Event, What::Delete, What::Event, What::Notice]);
    // A revoked token ends the stream without a word.
    service.fault(Kind::Told);
    let (rest, ending) = stream.rest().await;
    assert!(rest.iter().all(|got| *got == Got::Comment(":thump".into())));
    assert_eq!(ending, Ending::Complete);
}
