//! A producer that tells each record's fate, and a reader of whole topics.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, Statistics, TopicPartitionList};
use spillway_testkit::cluster::{Cluster, Listener};

/// Settings of a client for one listener; `mechanism` only where it asks for one.
pub(crate) fn settings(cluster: &Cluster, listener: Listener, mechanism: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    let protocol = match listener {
        Listener::Plain | Listener::Proxied => "plaintext",
        Listener::Tls => "ssl",
        Listener::SaslPlain => "sasl_plaintext",
        Listener::SaslTls => "sasl_ssl",
    };
    settings.set("bootstrap.servers", cluster.bootstrap(listener)).set("security.protocol", protocol);
    settings.set("ssl.ca.location", cluster.ca_file().display().to_string());
    if mechanism == "OAUTHBEARER" {
        settings.set("enable.sasl.oauthbearer.unsecure.jwt", "true");
        settings.set("sasl.oauthbearer.config", "principal=edge lifeSeconds=600");
    }
    if !mechanism.is_empty() {
        let (user, password) = cluster.user();
        settings.set("sasl.mechanism", mechanism);
        settings.set("sasl.username", user).set("sasl.password", password);
    }
    settings
}

type Fate = Result<(), Code>;

struct Context {
    fates: Sender<Fate>,
    throttled: Mutex<Duration>,
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        let longest = statistics.brokers.values().filter_map(|b| b.throttle.as_ref()).map(|w| w.max).max();
        let longest = Duration::from_millis(u64::try_from(longest.unwrap_or(0)).unwrap());
        let mut throttled = self.throttled.lock().unwrap();
        *throttled = longest.max(*throttled);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let fate = result.as_ref().map(drop).map_err(|(error, _)| error.rdkafka_error_code().unwrap());
        // The test may have seen enough.
        let _ = self.fates.send(fate);
    }
}

/// A producer with acks=all and no time limit.
pub(crate) struct Client {
    producer: ThreadedProducer<Context>,
    fates: Receiver<Fate>,
}

impl Client {
    pub(crate) fn new(settings: &ClientConfig) -> Self {
        let (sender, fates) = unbounded();
        let mut settings = settings.clone();
        settings.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", "0");
        settings.set("reconnect.backoff.max.ms", "500").set("statistics.interval.ms", "100");
        // A frozen broker is given up after this long.
        settings.set("socket.timeout.ms", "10000");
        let context = Context { fates: sender, throttled: Mutex::new(Duration::ZERO) };
        Self { producer: settings.create_with_context(context).unwrap(), fates }
    }

    /// Hands a record over. librdkafka refuses at once what it knows that the broker would refuse.
    pub(crate) fn send(&self, topic: &str, partition: i32, text: &str) -> Fate {
        let record: BaseRecord<'_, (), str> = BaseRecord::to(topic).partition(partition).payload(text);
        self.producer.send(record).map_err(|(error, _)| error.rdkafka_error_code().unwrap())
    }

    /// The fate of the oldest record whose fate is not yet known, if it is decided in time.
    pub(crate) fn answer(&self, within: Duration) -> Option<Fate> {
        self.fates.recv_timeout(within).ok()
    }

    pub(crate) fn deliver(&self, topic: &str, partition: i32, text: &str, within: Duration) -> Fate {
        self.send(topic, partition, text)?;
        self.answer(within).unwrap_or(Err(Code::MessageTimedOut))
    }

    /// Tries again until a record has this fate: a change of rights or settings reaches the brokers a
    /// moment after the command.
    pub(crate) fn deliver_until(&self, wanted: Fate, topic: &str, text: &str, within: Duration) {
        let began = Instant::now();
        loop {
            let fate = self.deliver(topic, 0, text, within);
            if fate == wanted {
                return;
            }
            assert!(began.elapsed() < within, "{fate:?} instead of {wanted:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The longest delay that a broker has imposed so far.
    pub(crate) fn throttled(&self) -> Duration {
        *self.producer.context().throttled.lock().unwrap()
    }
}

/// All that is in a topic, as (partition, payload) in order.
pub(crate) fn read_all(
    cluster: &Cluster,
    settings: &ClientConfig,
    topic: &str,
    within: Duration,
) -> Vec<(i32, String)> {
    let ends = cluster.admin().end_offsets(topic).unwrap();
    let mut settings = settings.clone();
    settings.set("group.id", "unused").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = settings.create().unwrap();
    let mut all = TopicPartitionList::new();
    for (partition, _) in &ends {
        all.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let wanted = usize::try_from(ends.iter().map(|(_, end)| end).sum::<i64>()).unwrap();
    let (began, mut found) = (Instant::now(), Vec::new());
    while found.len() < wanted {
        assert!(began.elapsed() < within, "{} of {wanted} records read", found.len());
        if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
            found.push((record.partition(), record.payload_view::<str>().unwrap().unwrap().to_owned()));
        }
    }
    found.sort();
    found
}
