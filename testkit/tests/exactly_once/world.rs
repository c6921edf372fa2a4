//! What all runs share: the cluster, the store, and the program.

use std::path::PathBuf;

use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::kafka::Mock;
use spillway_testkit::program;
use spillway_testkit::s3::{Client, Memory, Moto};

use crate::Outcome;

pub(crate) const BUCKET: &str = "spillway-exactly-once";

enum Kafka {
    Real(Box<Cluster>),
    Mock(Mock),
}

enum Store {
    Moto(Moto),
    Memory(Memory),
}

pub(crate) struct World {
    kafka: Kafka,
    store: Store,
    pub(crate) binary: PathBuf,
}

impl World {
    pub(crate) fn start(quick: bool) -> Outcome<Self> {
        let binary = program::build_binary("spillway-consumer")?;
        let (kafka, store) = if quick {
            (Kafka::Mock(Mock::start(3)?), Store::Memory(Memory::start()?))
        } else {
            (Kafka::Real(Box::new(Cluster::start(Options::default())?)), Store::Moto(Moto::start()?))
        };
        let world = Self { kafka, store, binary };
        world.objects().create_bucket()?;
        Ok(world)
    }

    pub(crate) fn bootstrap(&self) -> String {
        match &self.kafka {
            Kafka::Real(cluster) => cluster.bootstrap(Listener::Plain),
            Kafka::Mock(mock) => mock.bootstrap().to_owned(),
        }
    }

    /// The store itself, past all faults.
    pub(crate) fn endpoint(&self) -> String {
        match &self.store {
            Store::Moto(moto) => moto.endpoint(),
            Store::Memory(memory) => memory.endpoint(),
        }
    }

    /// A client of the store itself.
    pub(crate) fn objects(&self) -> Client {
        Client::new(&self.endpoint(), BUCKET)
    }

    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) -> Outcome {
        match &self.kafka {
            Kafka::Real(cluster) => cluster.admin().create_topic(topic, partitions, 3, &[])?,
            Kafka::Mock(mock) => mock.create_topic(topic, partitions, 3)?,
        }
        Ok(())
    }

    pub(crate) fn grow(&self, topic: &str, total: i32) -> Outcome {
        match &self.kafka {
            Kafka::Real(cluster) => Ok(cluster.admin().add_partitions(topic, total)?),
            Kafka::Mock(_) => Err("a mock cluster's topic cannot grow".into()),
        }
    }
}
