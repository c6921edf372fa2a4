//! Tables on a server that speaks S3. Needs one: `SPILLWAY_S3_ENDPOINT=http://127.0.0.1:5000`, for example
//! `moto_server` from PyPI (`moto[server]`). Skips, and says so, without it.

#![cfg(feature = "s3")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may fail loudly, and says when it skips"
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Rig, activity, rec, rows};
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use spillway_consumer::store::{AccessKey, StoreSettings, StoreUrl};
use spillway_consumer::{Config, Control, Summary, run};
use spillway_service::secret::Secret;

/// Creates a bucket of its own for this run, over plain HTTP as the test server takes it.
fn bucket(endpoint: &str) -> String {
    let name = format!("spillway-{}", std::process::id());
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "PUT /{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    name
}

fn drain_to_s3(rig: &Rig, endpoint: &str, bucket: &str, group: &str) -> Summary {
    let store = StoreSettings {
        url: StoreUrl::S3 { bucket: bucket.into(), prefix: "edge".into() },
        region: Some("us-east-1".into()),
        endpoint: Some(endpoint.into()),
        access_key: Some(AccessKey { id: "test".into(), secret: Secret::new("test".into()) }),
    };
    let Config { kafka, topic, .. } = rig.config();
    let control = Control::new();
    control.drain();
    run(Config::new(kafka, topic, group, store), &control).unwrap()
}

/// A client of our own.
fn client(endpoint: &str, bucket: &str) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .build()
        .unwrap()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Removes the log; how many objects it had.
fn remove_log(endpoint: &str, bucket: &str) -> usize {
    let client = client(endpoint, bucket);
    wait(async {
        let mut objects = client.list(Some(&ObjectPath::from("edge/_log")));
        let mut names = Vec::new();
        while let Some(object) = objects.next().await {
            names.push(object.unwrap().location);
        }
        for name in &names {
            client.delete(name).await.unwrap();
        }
        names.len()
    })
}

/// Copies the objects of `activity` into a folder.
fn download(endpoint: &str, bucket: &str, into: &std::path::Path) -> usize {
    let client = client(endpoint, bucket);
    wait(async {
        let listed =
            client.list_with_delimiter(Some(&ObjectPath::from("edge/tables/activity"))).await.unwrap();
        let mut copied = 0;
        for day in listed.common_prefixes {
            for object in client.list_with_delimiter(Some(&day)).await.unwrap().objects {
                let bytes = client.get(&object.location).await.unwrap().bytes().await.unwrap();
                let path = into.join(object.location.as_ref().strip_prefix("edge/").unwrap());
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
                copied += 1;
            }
        }
        copied
    })
}

#[test]
fn the_tables_on_s3_are_those_of_a_folder_and_are_written_once() {
    let Ok(endpoint) = std::env::var("SPILLWAY_S3_ENDPOINT") else {
        eprintln!(
            "SKIPPED the_tables_on_s3_are_those_of_a_folder_and_are_written_once: set SPILLWAY_S3_ENDPOINT"
        );
        return;
    };
    let rig = Rig::new(3);
    rig.send(
        (0..600_u32).map(|i| rec(i32::try_from(i % 3).unwrap(), i, i64::from(i) * 3, &format!("a{}", i % 7))),
    );
    rig.drain();
    assert_eq!(activity(rig.store()).iter().map(|(_, events)| events).sum::<i64>(), 600);

    let bucket = bucket(&endpoint);
    drain_to_s3(&rig, &endpoint, &bucket, "first");
    let copy = tempfile::tempdir().unwrap();
    assert_eq!(
        download(&endpoint, &bucket, copy.path()),
        6,
        "600 events, 3 s apart, in windows of 5 minutes"
    );
    assert_eq!(rows(copy.path(), "activity"), rows(rig.store(), "activity"));

    // The log says how far the topic has been read, to whatever group: nothing is counted again.
    let again = drain_to_s3(&rig, &endpoint, &bucket, "second").progress;
    assert_eq!((again.events, again.objects), (0, 0), "{again:?}");

    // Another run over the same records, which has lost the log, finds what is there, and writes nothing over it.
    assert!(remove_log(&endpoint, &bucket) > 3);
    let again = drain_to_s3(&rig, &endpoint, &bucket, "third").progress;
    assert_eq!((again.events, again.objects, again.late), (600, 0, 0), "{again:?}");
    assert_eq!(again.objects_found, 6, "{again:?}");
}
