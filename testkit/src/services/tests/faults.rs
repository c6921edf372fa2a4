//! Each fault, as a client sees it.

use super::super::sse::Sse;
use super::super::x::X;
use super::*;

fn x(faults: impl IntoIterator<Item = (u64, Kind)>) -> Service {
    let options = Options { faults: Faults::script(faults), limit: 30, ..Options::default() };
    X::default().start(options).unwrap()
}

async fn stream(service: &Service) -> Stream {
    assert!(service.wait_idle(WAIT));
    get(&service.url(), &[("accept-encoding", "gzip")]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_in_three_ways() {
    let closes = [Close::Complete, Close::Fin, Close::Reset];
    let service = x((1..).zip(closes).map(|(n, close)| (n * 5, Kind::End(close))));
    for (wanted, from) in [(Ending::Complete, 1), (Ending::Cut, 6), (Ending::Reset, 11)] {
        let mut stream = stream(&service).await;
        let (got, ending) = stream.rest().await;
        assert_eq!((numbers(&service, &got), ending), ((from..from + 5).collect(), wanted));
        assert!(stream.torn().is_empty());
    }
    assert!(service.wait_idle(WAIT));
    assert_eq!(ends(&service), closes.map(End::Closed));
    assert!(service.missed().is_empty(), "on demand nothing is published while nobody listens");
    let loses: Vec<bool> = service.history().sessions.iter().map(|session| session.may_lose).collect();
    assert_eq!(loses, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_cut_where_the_script_says() {
    for (cut, close) in [(Cut::Middle, Close::Fin), (Cut::Letter, Close::Fin), (Cut::End, Close::Fin)] {
        let service = x([(3, Kind::Torn(cut, close))]);
        let mut broken = stream(&service).await;
        let (got, ending) = broken.rest().await;
        assert_eq!((got.len(), ending), (3, Ending::Cut));
        let (torn, whole) = (broken.torn().to_vec(), service.log()[3].body.clone());
        assert!(whole.starts_with(&torn) && !torn.is_empty(), "{cut:?}");
        assert_eq!(torn == whole, cut == Cut::End);
        assert_eq!(std::str::from_utf8(&torn).is_err(), cut == Cut::Letter, "{cut:?}");
        // X does not serve it again.
        let next = stream(&service).await.records(1).await;
        assert!(service.wait_served(4, WAIT));
        assert_eq!((numbers(&service, &next), service.missed()), (vec![5], vec![4]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stream_is_silent_and_then_goes_on() {
    let stall = Duration::from_millis(300);
    let service = x([(2, Kind::Stall(stall))]);
    // Before the server's clock begins, however late this task is after that.
    let began = Instant::now();
    let mut stream = stream(&service).await;
    stream.records(2).await;
    let got = stream.records(1).await;
    assert!(began.elapsed() >= stall, "{:?}", began.elapsed());
    assert_eq!(numbers(&service, &got), [3]);
    service.stall(true);
    stream.patience = Duration::from_millis(100);
    assert_eq!(stream.rest().await.1, Ending::Silent);
    drop(stream);
    assert!(service.wait_idle(WAIT), "a client that goes away is noticed in a stall");
    assert_eq!(ends(&service), [End::ClientGone]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_stream_comes_in_pieces() {
    let pause = Duration::from_millis(5);
    let service = x([(0, Kind::Throttle { records: 2, piece: 40, pause })]);
    let began = Instant::now();
    let mut stream = stream(&service).await;
    let got = stream.records(2).await;
    let bytes: usize = got.iter().map(|got| got.body().len()).sum();
    let pieces = u32::try_from(bytes / 40).unwrap();
    assert!(began.elapsed() >= pause * pieces.saturating_sub(2), "{:?} for {pieces}", began.elapsed());
    assert_eq!(stream.rest_of(28).await, 28);
}

impl Stream {
    async fn rest_of(&mut self, n: usize) -> usize {
        self.records(n).await.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_refused_for_a_while() {
    let service = x([
        (1, Kind::Refuse { status: 429, times: 1, wait_s: Some(7) }),
        (2, Kind::Refuse { status: 503, times: 2, wait_s: None }),
    ]);
    assert_eq!(stream(&service).await.rest().await.1, Ending::Cut);
    let before = now_ms() / 1_000;
    let limited = get(&service.url(), &[]).await.err().unwrap();
    let reset: i64 = limited.headers["x-rate-limit-reset"].to_str().unwrap().parse().unwrap();
    let after = now_ms() / 1_000;
    assert!((before + 6..=after + 8).contains(&reset) && limited.status == 429, "{before} {reset} {after}");
    stream(&service).await.rest().await;
    for _ in 0..2 {
        assert_eq!(get(&service.url(), &[]).await.err().unwrap().status, 503);
    }
    stream(&service).await.records(1).await;
    let sse = Sse::default().start(by_hand()).unwrap();
    sse.refuse(503, 1, Some(9));
    assert_eq!(get(&sse.url(), &[]).await.err().unwrap().headers["retry-after"], "9");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_large_repeated_and_out_of_time() {
    let size = 10 * 1024 * 1024;
    let hour = 3_600_000;
    let service = x([(2, Kind::Big(size)), (4, Kind::Repeat(3)), (8, Kind::Jump(-hour))]);
    let mut stream = stream(&service).await;
    let got = stream.records(12).await;
    assert_eq!(numbers(&service, &got), [1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8, 9]);
    let (log, served) = (service.log(), service.connections()[0].served.clone());
    assert!(log[2].body.len() > size && log[3].body.len() < 10_000);
    assert_eq!((log[1].served, &served[..6]), (2, &[1, 2, 3, 4, 2, 3][..]));
    let back = log[4].event_ms - log[5].event_ms;
    assert!((hour - 10_000..=hour).contains(&back), "{back}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_compressed_for_who_accepts_it() {
    let faults = Faults::script([(3, Kind::Gzip), (6, Kind::Torn(Cut::Middle, Close::Fin))]);
    let service = X::default().start(Options { faults, ..by_hand() }).unwrap();
    let mut plain = stream(&service).await;
    service.publish(3);
    let (got, ending) = plain.rest().await;
    assert_eq!((got.len(), ending), (3, Ending::Complete));
    assert!(service.wait_idle(WAIT));
    drop(get(&service.url(), &[]).await.unwrap());
    let mut compressed = stream(&service).await;
    assert!(compressed.gzip.is_some());
    service.publish(4);
    let (got, ending) = compressed.rest().await;
    assert_eq!((numbers(&service, &got), ending), (vec![4, 5, 6], Ending::Cut));
    let gzip: Vec<bool> = service.connections().iter().map(|connection| connection.gzip).collect();
    assert_eq!(gzip, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_cut_off() {
    let options = Options { backlog_max: Some(10), ..by_hand() };
    let service = X::default().start(options).unwrap();
    let mut stream = get(&service.url(), &[]).await.unwrap();
    service.publish(5);
    stream.records(5).await;
    service.publish(11);
    assert_eq!(stream.rest().await, (vec![], Ending::Cut));
    assert!(service.wait_idle(WAIT));
    assert_eq!(ends(&service), [End::SlowReader]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_streams_and_requests_that_are_held_back() {
    let service = X::default().start(by_hand()).unwrap();
    let mut open = get(&service.url(), &[]).await.unwrap();
    service.stall(true);
    let url = service.url();
    let held = tokio::spawn(async move { client().get(url).send().await.is_ok() });
    let began = Instant::now();
    tokio::task::spawn_blocking(move || service.stop()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_ne!(open.rest().await.1, Ending::Silent);
    held.await.unwrap();
}
