//! When a run is well: whether its loop turns, and whether it does what it is there for. No I/O, no clock.

use std::time::Duration;

/// A loop that has not turned for so long hangs. It waits for the brokers' answers, for 10 s at most.
const TURN_MAX: Duration = Duration::from_secs(60);
/// Kafka is asked for the partitions' ends every 5 s; the store is asked when something is to be written.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What readiness depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signs {
    /// The group has answered, and all partitions that it gave are read.
    pub(crate) is_settled: bool,
    /// Since Kafka last answered; `None` when it never has.
    pub(crate) kafka_silent: Option<Duration>,
    /// How long something has waited for the store.
    pub(crate) store_waits: Option<Duration>,
}

/// Why a run does not do what it is there for.
pub(crate) fn reasons(signs: Signs) -> Vec<String> {
    let mut reasons = Vec::new();
    match signs.kafka_silent {
        None => reasons.push("Kafka has not answered yet".to_owned()),
        Some(silent) if silent >= SILENCE_MAX => {
            reasons.push(format!("Kafka has not answered for {} s", silent.as_secs()));
        }
        Some(_) => {}
    }
    if !signs.is_settled {
        reasons.push("the group has not settled, or partitions are being taken on".to_owned());
    }
    if let Some(waits) = signs.store_waits.filter(|waits| *waits >= SILENCE_MAX) {
        reasons.push(format!("the store has not taken what was brought to it for {} s", waits.as_secs()));
    }
    reasons
}

/// Whether a loop that last turned so long ago still works.
///
/// # Errors
/// Why it does not.
pub(crate) fn check_turns(last: Duration) -> Result<(), String> {
    if last < TURN_MAX { Ok(()) } else { Err(format!("the loop has not turned for {} s", last.as_secs())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Signs =
        Signs { is_settled: true, kafka_silent: Some(Duration::from_secs(5)), store_waits: None };

    #[test]
    fn a_run_that_reads_and_writes_is_ready() {
        assert!(reasons(WELL).is_empty());
        assert!(reasons(Signs { store_waits: Some(Duration::from_secs(29)), ..WELL }).is_empty());
    }

    #[test]
    fn each_thing_that_is_away_is_named() {
        let all = Signs {
            is_settled: false,
            kafka_silent: Some(Duration::from_secs(30)),
            store_waits: Some(Duration::from_secs(31)),
        };
        let named = reasons(all);
        assert_eq!(named.len(), 3, "{named:?}");
        assert!(named[0].contains("Kafka has not answered for 30 s"), "{named:?}");
        assert!(named[2].contains("store") && named[2].contains("31 s"), "{named:?}");
        assert_eq!(reasons(Signs { kafka_silent: None, ..WELL }), ["Kafka has not answered yet"]);
    }

    #[test]
    fn a_loop_that_hangs_is_not_well() {
        assert_eq!(check_turns(Duration::from_secs(59)), Ok(()));
        assert_eq!(check_turns(Duration::from_secs(61)).unwrap_err(), "the loop has not turned for 61 s");
    }
}
