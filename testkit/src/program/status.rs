//! What `/status` says, as far as tests ask for it. Read field by field, so that a newer daemon that says
//! more is read as well; a field that is missing is an error, not a 0.

use serde_json::Value;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `open`, `half_open` or `closed`, in lower case.
    pub breaker: String,
    /// The breaker's changes, oldest first.
    pub history: Vec<Change>,
    /// Where records go from the queue.
    pub lane: String,
    /// Records received since the start.
    pub received: u64,
    /// Records that Kafka acknowledged straight from memory.
    pub acked: u64,
    /// Records that were written to disk.
    pub spooled: u64,
    /// Records that Kafka acknowledged from the disk.
    pub replayed: u64,
    /// Records dropped for any reason, dead letters among them.
    pub dropped: u64,
    /// Records without a fate.
    pub unaccounted: u64,
    /// Records that a kill would lose now.
    pub at_risk: u64,
    /// Records in the queue.
    pub queued: u64,
    /// Records handed to Kafka.
    pub in_flight: u64,
    /// Records on disk that wait.
    pub waiting: u64,
    /// Records in damaged frames.
    pub quarantined: u64,
    /// What is wrong with the disk.
    pub problem: Option<String>,
}

/// A change of the breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When, unix milliseconds.
    pub at_ms: u64,
    /// The state since then, in lower case.
    pub to: String,
    /// Its cause's short name.
    pub cause: String,
}

impl Status {
    /// Reads an answer; `None` when a field is missing.
    #[must_use]
    pub fn parse(body: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(body).ok()?;
        let number = |pointer: &str| json.pointer(pointer)?.as_u64();
        let word = |pointer: &str| text(json.pointer(pointer)?);
        let dropped = json.pointer("/counts/dropped")?.as_array()?.iter();
        let history = json.pointer("/breaker_history")?.as_array()?.iter();
        Some(Self {
            breaker: word("/breaker")?,
            history: history.map(change).collect::<Option<_>>()?,
            lane: word("/lane")?,
            received: number("/counts/received")?,
            acked: number("/counts/acked")?,
            spooled: number("/counts/spooled")?,
            replayed: number("/counts/replayed")?,
            dropped: dropped.map(|drop| drop.get("records")?.as_u64()).sum::<Option<_>>()?,
            unaccounted: number("/counts/unaccounted")?,
            at_risk: number("/at_risk_records")?,
            queued: number("/queue/records")?,
            in_flight: number("/in_flight/direct")? + number("/in_flight/replay")?,
            waiting: number("/spool/records")?,
            quarantined: number("/spool/quarantined_records")?,
            problem: json.pointer("/spool/problem")?.as_str().map(str::to_owned),
        })
    }

    /// Records that cannot be lost with the process: acknowledged, on disk, or dropped for a reason.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.acked + self.spooled + self.dropped
    }

    /// Nothing is on its way: all that was received is in Kafka or a dead letter.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.received == self.settled() && self.queued + self.in_flight + self.waiting == 0
    }

    /// When the breaker first opened at or after `since_ms`.
    #[must_use]
    pub fn opened_since(&self, since_ms: u64) -> Option<u64> {
        self.history.iter().find(|c| c.at_ms >= since_ms && c.to == "open").map(|c| c.at_ms)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_lowercase)
}

fn change(value: &Value) -> Option<Change> {
    let get = |key: &str| value.get(key);
    Some(Change { at_ms: get("at_ms")?.as_u64()?, to: text(get("to")?)?, cause: text(get("cause")?)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"breaker":"Open","breaker_history":[
        {"at_ms":5,"from":"Open","to":"Closed","cause":"nothing_to_try","detail":"x"},
        {"at_ms":9,"from":"Closed","to":"Open","cause":"acks_overdue","detail":"x"}],
        "lane":"Spilling","queue":{"records":1,"bytes":2,"fill":0.1},
        "in_flight":{"direct":2,"replay":3,"oldest_ms":4},"at_risk_records":7,
        "spool":{"records":4,"quarantined_records":6,"problem":null},
        "counts":{"received":20,"acked":9,"spooled":5,"replayed":1,"unaccounted":0,
        "dropped":[{"reason":"refused","records":2},{"reason":"too_large","records":1}]}}"#;

    #[test]
    fn an_answer_is_read() {
        let status = Status::parse(BODY).unwrap();
        assert_eq!((status.settled(), status.in_flight, status.dropped), (17, 5, 3));
        assert_eq!((status.breaker.as_str(), status.problem.clone()), ("open", None));
        assert_eq!((status.opened_since(6), status.opened_since(10)), (Some(9), None));
        assert!(!status.is_idle());
    }

    #[test]
    fn a_missing_field_is_not_a_nought() {
        assert_eq!(Status::parse(&BODY.replace("at_risk_records", "other")), None);
        assert_eq!(Status::parse(&BODY.replace("\"records\":2", "\"other\":2")), None);
    }
}
