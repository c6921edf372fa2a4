//! The harness itself on a real cluster.

use std::time::Instant;

use spillway_testkit::cluster::{Cluster, Listener, Options};

#[test]
fn starts() {
    let began = Instant::now();
    let cluster = Cluster::start(Options::default()).unwrap();
    println!("ready after {:?}: {}", began.elapsed(), cluster.bootstrap(Listener::Plain));
    cluster.admin().create_topic("events", 12, 3, &[]).unwrap();
    println!("topic after {:?}", began.elapsed());
    println!("{:?}", cluster.admin().leaders("events").unwrap());
    println!("{:?}", cluster.admin().end_offsets("events").unwrap());
    cluster.kill(1).unwrap();
    cluster.restart(1).unwrap();
    println!("killed and restarted after {:?}", began.elapsed());
    cluster.kill_all().unwrap();
    cluster.start_all().unwrap();
    println!("all after {:?}", began.elapsed());
    cluster.freeze_all().unwrap();
    cluster.thaw_all().unwrap();
    cluster.await_all().unwrap();
    println!("thawed after {:?}", began.elapsed());
}
