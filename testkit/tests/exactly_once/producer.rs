//! Puts the load into the topic, a few records at a time: what comes later in the load is not in the
//! topic before what comes earlier, but for the few.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::Outcome;
use crate::load::Record;

const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Producer {
    client: BaseProducer,
    topic: String,
}

impl Producer {
    pub(crate) fn new(bootstrap: &str, topic: &str) -> Outcome<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("linger.ms", "0").set("acks", "all");
        config.set("enable.idempotence", "true");
        // Partitions that were added are known soon.
        config.set("topic.metadata.refresh.interval.ms", "500");
        Ok(Self { client: config.create()?, topic: topic.to_owned() })
    }

    /// Returns when all are in the topic.
    pub(crate) fn send(&self, records: &[Record]) -> Outcome {
        for record in records {
            let mut message =
                BaseRecord::<(), [u8]>::to(&self.topic).partition(record.partition).payload(&record.value);
            if let Some(id) = &record.id {
                let header = Header { key: "spillway-id", value: Some(id) };
                message = message.headers(OwnedHeaders::new().insert(header));
            }
            self.enqueue(message)?;
        }
        // A flush would wait 100 ms at least.
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        while self.client.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err("the cluster does not take records".into());
            }
            self.wait();
        }
        Ok(())
    }

    /// For a millisecond. The client's own wait spins in its last millisecond, which is all of this one.
    fn wait(&self) {
        self.client.poll(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1));
    }

    /// A partition that was just added is unknown until the metadata are asked for again: till then it is
    /// tried again.
    fn enqueue(&self, mut message: BaseRecord<'_, (), [u8]>) -> Outcome {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        loop {
            match self.client.send(message) {
                Ok(()) => return Ok(()),
                Err((error, refused)) if is_unknown_partition(&error) && Instant::now() < deadline => {
                    self.wait();
                    message = refused;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}

fn is_unknown_partition(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition)
}
