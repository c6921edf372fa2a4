//! Both servers: what they store, how they list, and that one of two racing writers loses, a thousand times.

use std::sync::Barrier;

use super::client::encode;
use super::*;

const RACES: usize = 1000;

fn bucket(endpoint: &str) -> Client {
    let client = Client::new(endpoint, "spillway-test");
    client.create_bucket().unwrap();
    client
}

/// Two writers create the same object at the same moment; each knows whether it won, and the object is
/// the winner's.
fn race(client: &Client, races: usize) {
    let start = Barrier::new(2);
    let run = |me: &'static str| {
        let (client, start) = (client.clone(), &start);
        move || -> Vec<Put> {
            let one = |n: usize| {
                start.wait();
                client.create(&format!("race/{n}"), me.as_bytes()).unwrap()
            };
            (0..races).map(one).collect()
        }
    };
    let (left, right) = std::thread::scope(|scope| {
        let (left, right) = (scope.spawn(run("left")), scope.spawn(run("right")));
        (left.join().unwrap(), right.join().unwrap())
    });
    for (n, outcome) in left.into_iter().zip(right).enumerate() {
        let winner = match outcome {
            (Put::Created, Put::Refused) => "left",
            (Put::Refused, Put::Created) => "right",
            both => panic!("race {n}: {both:?}"),
        };
        let kept = client.read(&format!("race/{n}")).unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&kept), winner, "race {n}");
    }
}

fn objects_are_kept_and_listed(client: &Client) {
    assert_eq!(client.read("a/dt=2026-01-01/x").unwrap(), None);
    assert_eq!(client.create("a/dt=2026-01-01/x", b"1").unwrap(), Put::Created);
    assert_eq!(client.create("a/dt=2026-01-01/x", b"2").unwrap(), Put::Refused);
    assert_eq!(client.read("a/dt=2026-01-01/x").unwrap().as_deref(), Some(&b"1"[..]));
    client.write("a/dt=2026-01-01/x", b"3").unwrap();
    client.write("a b&c", b"").unwrap();
    assert_eq!(client.read("a/dt=2026-01-01/x").unwrap().as_deref(), Some(&b"3"[..]));
    assert_eq!(client.list("a").unwrap(), ["a b&c", "a/dt=2026-01-01/x"]);
    assert_eq!(client.list("a/dt=").unwrap(), ["a/dt=2026-01-01/x"]);
    client.remove("a b&c").unwrap();
    assert_eq!(client.list("").unwrap(), ["a/dt=2026-01-01/x"]);
    for n in 0..1100 {
        client.write(&format!("many/{n:04}"), b"x").unwrap();
    }
    let many = client.list("many/").unwrap();
    assert_eq!((many.len(), many[1099].as_str()), (1100, "many/1099"), "more than a page");
}

#[test]
fn the_server_in_memory_keeps_objects_and_one_writer_wins() {
    let server = Memory::start().unwrap();
    let client = bucket(&server.endpoint());
    objects_are_kept_and_listed(&client);
    race(&client, RACES);
}

#[test]
fn a_listing_by_folders_goes_on_after_a_page() {
    let server = Memory::start().unwrap();
    let client = bucket(&server.endpoint());
    for key in ["t/a/1", "t/a/2", "t/b/1", "t/c", "u"] {
        client.write(key, b"x").unwrap();
    }
    let page = |after: &str| {
        let query = format!(
            "?list-type=2&prefix=t/&delimiter=/&max-keys=1&continuation-token={}",
            encode(after, false)
        );
        let answer = client.expect("GET", &query, "", &[], &[200]).unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        let found = [xml::texts(&text, "CommonPrefixes"), xml::texts(&text, "Key")].concat();
        (found, xml::texts(&text, "NextContinuationToken").pop())
    };
    let (first, token) = page("");
    assert_eq!(first, ["<Prefix>t/a/</Prefix>"]);
    let (second, token) = page(&token.unwrap());
    assert_eq!(second, ["<Prefix>t/b/</Prefix>"]);
    let (third, token) = page(&token.unwrap());
    assert_eq!((third, token), (vec!["t/c".to_owned()], None));
}

#[cfg(feature = "kafka")]
#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-testkit --lib -- --include-ignored s3::"]
fn moto_keeps_objects_and_one_writer_wins() {
    let server = Moto::start().unwrap();
    let client = bucket(&server.endpoint());
    objects_are_kept_and_listed(&client);
    race(&client, RACES);
}
