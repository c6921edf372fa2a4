//! Asks the brokers whether the topics can be written: a metadata request for each on a thread of its own,
//! so that no task ever blocks on it. One request at a time. Without it an open breaker would stay open, so systemd's
//! watchdog feels its pulse, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use spillway_service::kafka::{Access, Refusal};
use spillway_service::pulse::Pulse;

use super::{Kafka, Seen, Signal, callbacks, set_reconnect_defaults};
use crate::config::KafkaConfig;
use crate::tasks::{PROBER_HEART, TURN_EVERY};
use crate::topics::{Place, TopicIndex};

/// The probing thread's handle; dropping it ends the thread after the request under way.
pub(crate) struct Prober {
    requests: Sender<()>,
}

impl Prober {
    /// Starts the thread. Answers go to the breaker's channel; the numbers of partitions to `kafka`.
    pub(crate) fn start(
        config: &KafkaConfig,
        kafka: Arc<Kafka>,
        pulse: Arc<Pulse>,
        timeout: Duration,
    ) -> std::io::Result<Self> {
        let mut client = config.settings.client_config();
        client.set("client.id", "spillwayd-probe");
        set_reconnect_defaults(&mut client, config);
        let (requests, inbox) = bounded(1);
        let access = config.settings.access();
        let worker = Worker { client, access, kafka, pulse, timeout, producer: None };
        std::thread::Builder::new().name("prober".to_owned()).spawn(move || worker.run(&inbox))?;
        Ok(Self { requests })
    }

    /// Asks for a probe, unless one is under way.
    pub(crate) fn request(&self) {
        // Full means that one is waiting already.
        let _ = self.requests.try_send(());
    }
}

/// How long the client's events are served, of which each call would else give one.
const SERVE: Duration = Duration::from_millis(20);

struct Worker {
    client: ClientConfig,
    access: Access,
    kafka: Arc<Kafka>,
    pulse: Arc<Pulse>,
    timeout: Duration,
    producer: Option<BaseProducer<Quiet>>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<()>) {
        loop {
            self.pulse.turn(PROBER_HEART);
            match inbox.recv_timeout(TURN_EVERY) {
                Ok(()) if self.answer() => {}
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.pulse.end(PROBER_HEART);
    }

    /// Probes, and returns whether somebody still listens.
    fn answer(&mut self) -> bool {
        let answer = self.probe();
        if answer.is_err() {
            // A fresh client next time: it resolves names anew and has no waits to sit out.
            self.producer = None;
        }
        self.kafka.signals.send(Signal::Probe(answer)).is_ok()
    }

    /// Looks at all topics. Kafka answers when any of them can be sent to.
    fn probe(&mut self) -> Result<Vec<Seen>, String> {
        let mut all = Vec::new();
        for (topic, name) in self.kafka.topics().names() {
            self.pulse.turn(PROBER_HEART);
            let leaders = match self.leaders(&name).map_err(|error| self.explain(&error))? {
                Ok(leaders) => self.usable(&name, leaders),
                Err(error) => Err(format!("topic {name:?}: {}", self.explain(&error))),
            };
            if let Ok(leaders) = &leaders {
                self.note_partitions(topic, &name, leaders.len());
            }
            all.push(Seen { topic, leaders });
        }
        let has_leader = |seen: &Seen| seen.leaders.as_ref().is_ok_and(|leaders| leaders.contains(&true));
        if all.iter().any(has_leader) {
            return Ok(all);
        }
        let causes = all.into_iter().map(|seen| match seen.leaders {
            Ok(leaders) => {
                let name = self.kafka.topics().describe(Place::whole(seen.topic));
                format!("none of the {} partitions {name} has a leader", leaders.len())
            }
            Err(cause) => cause,
        });
        Err(causes.collect::<Vec<_>>().join("; "))
    }

    fn usable(&self, name: &str, leaders: Vec<bool>) -> Result<Vec<bool>, String> {
        self.access.accepted();
        if leaders.is_empty() {
            return Err(format!("topic {name:?} does not exist or has no partitions"));
        }
        Ok(leaders)
    }

    fn note_partitions(&self, topic: TopicIndex, name: &str, partitions: usize) {
        let total = i32::try_from(partitions).unwrap_or(i32::MAX);
        let before = self.kafka.topics().set_partitions(topic, total);
        if before > 0 && before != total {
            tracing::info!(
                event = "partitions_changed",
                topic = name,
                before,
                total,
                "the topic has another number of partitions"
            );
        }
    }

    /// What went wrong. "Timed out" is all that the request says of a login that the brokers refuse: the
    /// client knows more.
    fn explain(&self, error: &KafkaError) -> String {
        self.access.heard(error, &error.to_string());
        let Some(producer) = &self.producer else { return error.to_string() };
        producer.poll(SERVE);
        let refused = producer.context().refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        refused.map_or_else(|| error.to_string(), |reason| format!("{error}: {reason}"))
    }

    /// For each partition of a topic, whether it has a leader, or what Kafka says of the topic.
    fn leaders(&mut self, topic: &str) -> Result<Result<Vec<bool>, KafkaError>, KafkaError> {
        let producer = match &self.producer {
            Some(producer) => producer,
            None => {
                let quiet = Quiet { access: self.access.clone(), refused: Mutex::default() };
                self.producer.insert(self.access.renewed(&self.client).create_with_context(quiet)?)
            }
        };
        // Gives the client the token that it waits for.
        producer.poll(SERVE);
        let metadata = producer.client().fetch_metadata(Some(topic), self.timeout)?;
        let Some(topic) = metadata.topics().first() else { return Ok(Ok(Vec::new())) };
        if let Some(error) = topic.error() {
            return Ok(Err(KafkaError::MetadataFetch(error.into())));
        }
        let mut leaders = vec![false; topic.partitions().len()];
        for partition in topic.partitions() {
            if let Some(led) = usize::try_from(partition.id()).ok().and_then(|id| leaders.get_mut(id)) {
                *led = partition.leader() >= 0;
            }
        }
        Ok(Ok(leaders))
    }
}

/// Its errors show in the answer.
struct Quiet {
    access: Access,
    /// Why the brokers refuse us, as the client heard it last.
    refused: Mutex<Option<String>>,
}

/// Longest wait for credentials, on the prober's own thread.
const TOKEN_PATIENCE: Duration = Duration::from_secs(5);

impl ClientContext for Quiet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.access.token(TOKEN_PATIENCE)?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        callbacks::log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the probe's client reports an error");
        self.access.heard(&error, reason);
        if Refusal::of(&error).is_some() {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl rdkafka::producer::ProducerContext for Quiet {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}
