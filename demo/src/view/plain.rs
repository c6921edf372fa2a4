//! The plain view: one line a second, for files, pipes and CI.

use std::io::Write;
use std::time::Duration;

use spillway_service::units::show_bytes;

use super::Brokers;
use super::rates::Rate;
use crate::facts::{Facts, breaker_name};

const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Plain {
    last: Option<Duration>,
}

impl Plain {
    pub(super) fn show(&mut self, facts: &Facts, rate: Rate, brokers: Brokers) {
        if self.last.is_some_and(|last| facts.elapsed < last + EVERY) {
            return;
        }
        self.last = Some(facts.elapsed);
        say(&line(facts, rate, brokers));
    }
}

/// Writes a line; a reader that has gone away changes nothing about the result.
pub(super) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn line(facts: &Facts, rate: Rate, brokers: Brokers) -> String {
    let brokers = if brokers == Brokers::Up { "up" } else { "down" };
    format!(
        "{:>6.1} s  served {}/{} ({}/s)  delivered {} ({}/s)  tables {}  spool {} ({})  queue {}  in flight {}  brokers {brokers}  breaker {}",
        facts.elapsed.as_secs_f64(),
        facts.served,
        facts.total,
        rate.served,
        facts.delivered(),
        rate.delivered,
        facts.consumed,
        facts.spool_records,
        show_bytes(facts.spool_bytes),
        facts.queue_records,
        facts.in_flight,
        breaker_name(facts.breaker)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::quiet;

    #[test]
    fn a_line_says_it_all() {
        let facts =
            Facts { elapsed: Duration::from_millis(12_340), served: 45, acked: 30, replayed: 5, ..quiet() };
        let rate = Rate { served: 10, delivered: 9, consumed: 8 };
        assert_eq!(
            line(&facts, rate, Brokers::Down(Duration::ZERO)),
            "  12.3 s  served 45/90 (10/s)  delivered 35 (9/s)  tables 0  spool 0 (0 B)  queue 0  in flight 0  brokers down  breaker closed"
        );
    }
}
