//! The harness against a real producer: what went in is seen, outages are outages, gaps are noticed.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;

const WAIT: Duration = Duration::from_secs(20);

fn producer(mock: &Mock) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap())
        .set("enable.idempotence", "true")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .create()
        .unwrap()
}

fn send(producer: &BaseProducer, partition: i32, id: &str, payload: &[u8]) {
    let headers = OwnedHeaders::new().insert(Header { key: "spillway-id", value: Some(id) });
    let record: BaseRecord<'_, (), [u8]> =
        BaseRecord::to("t").partition(partition).payload(payload).headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

#[test]
fn the_reader_sees_every_record_with_its_id_payload_and_order() {
    let mock = Mock::start(3).unwrap();
    mock.create_topic("t", 4, 3).unwrap();
    let payloads = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&payloads);
    let sink: reader::Sink = Box::new(move |p, o, bytes| sink.lock().unwrap().push((p, o, bytes.to_vec())));
    let reader = Reader::with_sink(mock.bootstrap(), "t", 4, sink).unwrap();
    let producer = producer(&mock);
    for n in 0..100 {
        send(&producer, n % 4, &format!("id-{n}"), format!("payload {n}").as_bytes());
    }
    send(&producer, 0, "id-0", b"payload 0");
    producer.flush(WAIT).unwrap();
    assert!(reader.wait_for(101, WAIT), "{} of 101 read", reader.records());

    let seen = reader.stop();
    assert_eq!(seen.records(), 101);
    assert_eq!((seen.gaps.len(), seen.missed()), (0, 0));
    assert_eq!(seen.ids().len(), 100);
    assert_eq!((seen.ids()["id-0"], seen.ids()["id-99"]), (2, 1));
    assert_eq!(seen.order(1), (0..25).map(|n| format!("id-{}", 4 * n + 1)).collect::<Vec<_>>());
    let entry = &seen.partitions[&2][3];
    assert_eq!((entry.offset, entry.id.as_deref()), (3, Some("id-14")));
    assert_eq!((entry.hash, entry.len), (crate::hash(b"payload 14"), 10));
    assert!(entry.timestamp_ms.is_some());
    assert!(payloads.lock().unwrap().contains(&(2, 3, b"payload 14".to_vec())));
}

#[test]
fn reading_to_the_end_is_reading_everything() {
    let mock = Mock::start(3).unwrap();
    mock.create_topic("t", 3, 3).unwrap();
    let producer = producer(&mock);
    for n in 0..40_000 {
        send(&producer, n % 3, "id", b"payload");
    }
    producer.flush(WAIT).unwrap();
    let reader = Reader::start(mock.bootstrap(), "t", 3).unwrap();
    assert!(reader.read_to_end(WAIT).unwrap());
    assert_eq!(reader.records(), 40_000);
}

#[test]
fn an_outage_stops_the_producer_and_ends_with_the_brokers_return() {
    let mock = Mock::start(3).unwrap();
    mock.create_topic("t", 3, 3).unwrap();
    let reader = Reader::start(mock.bootstrap(), "t", 3).unwrap();
    let producer = producer(&mock);
    send(&producer, 0, "before", b"1");
    producer.flush(WAIT).unwrap();
    assert!(reader.wait_for(1, WAIT));

    mock.all_down().unwrap();
    for partition in 0..3 {
        send(&producer, partition, "during", b"2");
    }
    assert!(
        producer.flush(Duration::from_millis(500)).is_err(),
        "nothing can be delivered while all are down"
    );
    assert!(!reader.wait_for(2, Duration::from_millis(100)));

    // Partition 1 is led by broker 2; no leader moves.
    mock.broker_up(2).unwrap();
    assert!(reader.wait_for(2, WAIT));
    assert_eq!(reader.snapshot().order(1), ["during"]);
    mock.all_up().unwrap();
    producer.flush(WAIT).unwrap();
    assert!(reader.wait_for(4, WAIT));
    mock.broker_down(1).unwrap();
    send(&producer, 0, "after", b"3");
    assert!(producer.flush(Duration::from_millis(300)).is_err());
}

#[test]
fn a_broker_goes_down_while_children_start() {
    let mock = Mock::start(1).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let starts = || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                assert!(
                    crate::children::output(&mut std::process::Command::new("true"))
                        .unwrap()
                        .status
                        .success()
                );
            }
        };
        (0..4).for_each(|_| drop(scope.spawn(starts)));
        for _ in 0..200 {
            // librdkafka aborts the process when the port is taken.
            mock.all_down().unwrap();
            mock.all_up().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn injected_errors_reach_the_producer() {
    let mock = Mock::start(1).unwrap();
    mock.create_topic("t", 1, 1).unwrap();
    let reports = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    struct Reports(std::sync::Arc<std::sync::Mutex<Vec<String>>>);
    impl rdkafka::ClientContext for Reports {}
    impl rdkafka::producer::ProducerContext for Reports {
        type DeliveryOpaque = ();
        fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, (): ()) {
            let error = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
            self.0.lock().unwrap().push(format!("{error:?}"));
        }
    }
    let producer: BaseProducer<Reports> = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap())
        .create_with_context(Reports(std::sync::Arc::clone(&reports)))
        .unwrap();
    let send = || {
        let record: BaseRecord<'_, (), [u8]> = BaseRecord::to("t").partition(0).payload(b"x");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(WAIT).unwrap();
    };
    mock.request_errors(ApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]).unwrap();
    send();
    mock.request_errors(ApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]).unwrap();
    mock.clear_request_errors(ApiKey::Produce).unwrap();
    send();
    assert_eq!(*reports.lock().unwrap(), ["Some(MessageSizeTooLarge)", "None"]);
}

#[test]
fn what_the_mock_forgot_before_it_was_read_is_a_gap() {
    let mock = Mock::start(1).unwrap();
    mock.create_topic("t", 1, 1).unwrap();
    let producer = producer(&mock);
    // 8 batches of 1 MB do not fit into 5 MiB.
    for n in 0..8 {
        send(&producer, 0, &n.to_string(), &vec![b'x'; 900_000]);
        producer.flush(WAIT).unwrap();
    }
    let reader = Reader::start(mock.bootstrap(), "t", 1).unwrap();
    assert!(reader.wait_for(4, WAIT));
    send(&producer, 0, "last", b"end");
    producer.flush(WAIT).unwrap();
    assert!(reader.read_to_end(WAIT).unwrap());
    let seen = reader.snapshot();
    assert_eq!(seen.order(0).last(), Some(&"last"));
    assert_eq!(seen.missed() + seen.records() as u64, 9);
    assert!(seen.missed() > 0);
    assert_eq!(seen.gaps[0].from, 0);
}

#[test]
fn commands_say_what_was_refused() {
    let mock = Mock::start(1).unwrap();
    mock.create_topic("t", 1, 1).unwrap();
    let error = mock.create_topic("t", 1, 1).unwrap_err();
    assert!(matches!(&error, Error::Command { source: KafkaError::MockCluster(_), .. }));
    assert_eq!(error.to_string(), "the mock cluster refused to create the topic t");
}
