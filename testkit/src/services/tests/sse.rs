//! Any server of server-sent events: exact resume, `retry:`, and the forms that the standard allows.

use super::super::sse::Sse;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_goes_on_exactly_behind_the_last_id() {
    let sse = Sse { retry: Some(Duration::from_millis(1_234)), ..Sse::default() };
    let service = sse.start(by_hand()).unwrap();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    service.publish(8);
    let got = stream.records(8).await;
    assert_eq!(got[4], Got::Event(String::new(), "5".into(), got[4].body().into()));
    assert_eq!(got[6].body().lines().count(), 5, "several lines of data");
    assert_eq!(numbers(&service, &got), (1..=8).collect::<Vec<_>>());
    let mut stream = get(&service.url(), &[("last-event-id", "6")]).await.unwrap();
    assert_eq!(numbers(&service, &stream.records(2).await), [7, 8]);
    let bad = get(&service.url(), &[("last-event-id", "x")]).await.err().unwrap();
    assert_eq!(bad.status, 400);
    let locked = Sse { token: Some("t".into()), ..Sse::default() }.start(by_hand()).unwrap();
    assert_eq!(get(&locked.url(), &[]).await.err().unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_are_those_of_the_standard() {
    for line_end in ["\n", "\r\n", "\r"] {
        let retry = Some(Duration::from_millis(50));
        let sse = Sse { retry, line_end, bom: true, lines_every: 1, ..Sse::default() };
        let service = sse.start(by_hand()).unwrap();
        let response = client().get(service.url()).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        service.publish(1);
        assert!(service.wait_served(1, WAIT));
        service.fault(Kind::Told);
        let body = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
        let record = String::from_utf8(service.log()[0].body.to_vec()).unwrap();
        let lines: String = record.split('\n').map(|line| format!("data: {line}{line_end}")).collect();
        let wanted = format!(
            "\u{feff}retry: 50{line_end}{line_end}id: 1{line_end}{lines}{line_end}: ends{line_end}{line_end}"
        );
        assert_eq!(body, wanted);
    }
}
