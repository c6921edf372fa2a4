//! The upstream over a socket, as a daemon meets it: resumed in the middle, ended, refused.

use serde_json::Value;

use super::*;

const WAIT: Duration = Duration::from_secs(20);

fn start(rate: u64, keep_alive_ms: u64) -> Posts {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Posts::start(&Options { listen, rate, keep_alive: Duration::from_millis(keep_alive_ms) }).unwrap()
}

/// In a build of the whole workspace reqwest speaks TLS, and wants to be told with which cryptography.
fn client() -> reqwest::Client {
    // Another test of this process may have said so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn get(posts: &Posts, path: &str, last: Option<&str>) -> reqwest::Response {
    let mut request = client().get(format!("{}{path}", posts.base()));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.send().await.unwrap()
}

async fn end(posts: &Posts) -> u64 {
    let answer = client().post(format!("{}/end", posts.base())).send().await.unwrap();
    answer.text().await.unwrap().strip_suffix('\n').unwrap().parse().unwrap()
}

/// A stream, being read.
struct Stream {
    response: reqwest::Response,
    end: &'static str,
    body: String,
}

impl Stream {
    async fn events(posts: &Posts, last: Option<&str>) -> Self {
        let response = get(posts, "/stream", last).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, end: "\n\n", body: String::new() }
    }

    async fn lines(posts: &Posts) -> Self {
        let response = get(posts, "/lines", None).await;
        assert_eq!(response.headers()["content-type"], "application/json");
        Self { response, end: "\r\n", body: String::new() }
    }

    /// What comes next, without its end.
    async fn next(&mut self) -> String {
        loop {
            if let Some(end) = self.body.find(self.end) {
                let frame: String = self.body.drain(..end + self.end.len()).collect();
                return frame[..end].to_owned();
            }
            let chunk = tokio::time::timeout(WAIT, self.response.chunk()).await.unwrap();
            self.body.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
    }

    /// The next `n` posts; their ids must be those of the events.
    async fn posts(&mut self, n: u64) -> Vec<(u64, String)> {
        let mut posts = Vec::new();
        while (posts.len() as u64) < n {
            let frame = self.next().await;
            // A machine that is held up may send a sign of life in between.
            let Some(event) = frame.strip_prefix("id: ") else {
                assert_eq!(frame, ": alive");
                continue;
            };
            let (id, data) = event.split_once("\ndata: ").unwrap();
            let post: Value = serde_json::from_str(data).unwrap();
            assert_eq!((post["data"]["id"].as_str(), data.contains('\n')), (Some(id), false));
            posts.push((id.parse().unwrap(), data.to_owned()));
        }
        posts
    }
}

fn numbers(posts: &[(u64, String)]) -> Vec<u64> {
    posts.iter().map(|(number, _)| *number).collect()
}

/// When a post came as it says itself, in milliseconds since 1970.
fn created_ms((_, data): &(u64, String)) -> i64 {
    let post: Value = serde_json::from_str(data).unwrap();
    let at = post["data"]["created_at"].as_str().unwrap();
    chrono::DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_goes_on_exactly_behind_the_last_id_with_the_same_posts() {
    let posts = start(2_000, 10_000);
    let first = Stream::events(&posts, None).await.posts(300).await;
    assert_eq!(numbers(&first), (1..=300).collect::<Vec<_>>());
    let mut resumed = Stream::events(&posts, Some("140")).await;
    assert_eq!(resumed.posts(160).await, first[140..]);
    assert_eq!(numbers(&resumed.posts(1).await), [301]);
    let again = Stream::events(&posts, None).await.posts(1).await;
    assert_eq!(again, first[..1], "without an id it begins at the beginning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_come_the_closing_posts_and_signs_of_life() {
    let posts = start(1_000, 50);
    let mut stream = Stream::events(&posts, None).await;
    let mut read = stream.posts(10).await;
    let last = end(&posts).await;
    assert!(last >= 10, "the last one is {last}");
    read.extend(stream.posts(last + CLOSING - 10).await);
    assert_eq!(numbers(&read), (1..=last + CLOSING).collect::<Vec<_>>());
    let index = usize::try_from(last).unwrap();
    let step = created_ms(&read[index]) - created_ms(&read[index - 1]);
    assert_eq!(step, i64::try_from(CLOSING_AHEAD.as_millis()).unwrap() + 1);
    assert_eq!([stream.next().await, stream.next().await], [": alive", ": alive"]);
    assert_eq!(end(&posts).await, last);
    let resumed = Stream::events(&posts, Some(&last.to_string())).await.posts(CLOSING).await;
    assert_eq!(resumed, read[index..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_begin_at_1_for_everyone_whatever_the_stream_does() {
    let posts = start(1_000, 10_000);
    assert_eq!(end(&posts).await, 0);
    for _ in 0..2 {
        let mut lines = Stream::lines(&posts).await;
        for number in 1..=100 {
            let post: Value = serde_json::from_str(&lines.next().await).unwrap();
            assert_eq!(post["data"]["text"], format!("post {number}"));
        }
    }
    let slow = start(1, 20);
    assert_eq!(Stream::lines(&slow).await.next().await, "", "a sign of life comes before the first post");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_for_a_post_is_refused_and_begins_nothing() {
    let posts = start(100_000, 10_000);
    for (last, status) in [(Some("x"), 400), (Some("-1"), 400), (Some("1"), 400)] {
        assert_eq!(get(&posts, "/stream", last).await.status(), status, "{last:?}");
    }
    assert_eq!(get(&posts, "/other", None).await.status(), 404);
    assert_eq!(get(&posts, "/end", None).await.status(), 405);
    assert_eq!(end(&posts).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_handle() {
    let posts = start(1, 10_000);
    let mut stream = Stream::events(&posts, None).await;
    drop(posts);
    let rest = tokio::time::timeout(WAIT, stream.response.chunk()).await.unwrap();
    assert!(rest.is_err(), "the body broke off: {rest:?}");
}
