//! The live view: bars and a line of states, redrawn in place.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use spillway_daemon::circuit::State as Breaker;
use spillway_daemon::lane::Lane;
use spillway_service::units::{show_bytes, show_count};

use super::Brokers;
use super::rates::Rate;
use crate::facts::{Facts, breaker_name};
use crate::paint::Paint;

/// Redraws a second.
const HZ: u8 = 12;

pub(super) struct Live {
    paint: Paint,
    screen: MultiProgress,
    upstream: ProgressBar,
    kafka: ProgressBar,
    spool: ProgressBar,
    tables: ProgressBar,
    states: ProgressBar,
    details: ProgressBar,
}

impl Live {
    pub(super) fn new(total: u64, paint: Paint) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(HZ));
        let line = |template: &str| {
            let bar = screen.add(ProgressBar::new(total));
            // A template that indicatif refuses leaves its own default: still legible.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar
        };
        let bar = |name: &str, colour: &str| line(&format!("  {name:<9} {{bar:30.{colour}/238}}  {{msg}}"));
        let space = line(" ");
        let (upstream, kafka) = (bar("upstream", "cyan"), bar("kafka", "green"));
        let (tables, spool) = (bar("tables", "blue"), bar("spool", "yellow"));
        let (states, details) = (line("  {msg}"), line("  {msg}"));
        space.tick();
        Self { paint, screen, upstream, kafka, spool, tables, states, details }
    }

    pub(super) fn say(&self, line: &str) {
        // The terminal has gone away: the report decides, not the view.
        let _ = self.screen.println(line);
    }

    pub(super) fn show(&mut self, facts: &Facts, rate: Rate, brokers: Brokers) {
        let of_total = |n: u64, per_second: u64| {
            format!("{:>9} of {}  {:>7}/s", show_count(n), show_count(facts.total), show_count(per_second))
        };
        set(&self.upstream, facts.served, of_total(facts.served, rate.served));
        set(&self.kafka, facts.delivered(), of_total(facts.delivered(), rate.delivered));
        set(&self.tables, facts.consumed.min(facts.total), of_total(facts.consumed, rate.consumed));
        let on_disk =
            format!("{:>9} waiting  {}", show_count(facts.spool_records), show_bytes(facts.spool_bytes));
        set(&self.spool, facts.spool_records, on_disk);
        self.states.set_message(format!("{:<9} {}", "state", self.states_line(facts, brokers)));
        self.details.set_message(format!("{:<9} {}", "", self.paint.dim(&details_line(facts))));
    }

    fn states_line(&self, facts: &Facts, brokers: Brokers) -> String {
        let brokers = match brokers {
            Brokers::Up => self.paint.good("up"),
            Brokers::Down(since) => {
                let down = facts.elapsed.saturating_sub(since);
                self.paint.bad(&format!("DOWN {}", seconds(down)))
            }
        };
        let name = breaker_name(facts.breaker);
        let breaker = match facts.breaker {
            Breaker::Closed => self.paint.good(name),
            Breaker::HalfOpen => self.paint.warn(name),
            Breaker::Open => self.paint.bad(name),
        };
        let lane = match facts.lane {
            Lane::Direct => self.paint.good("straight to Kafka"),
            Lane::Draining => self.paint.warn("held: draining"),
            Lane::Spilling => self.paint.warn("to disk"),
            Lane::Handover => self.paint.warn("held: handover"),
        };
        format!("brokers {brokers}   breaker {breaker}   records {lane}")
    }

    pub(super) fn close(&self) {
        for bar in [&self.upstream, &self.kafka, &self.spool, &self.tables, &self.states, &self.details] {
            bar.finish_and_clear();
        }
        let _ = self.screen.clear();
    }
}

fn set(bar: &ProgressBar, position: u64, message: String) {
    bar.set_position(position);
    bar.set_message(message);
}

fn details_line(facts: &Facts) -> String {
    let disk = facts.disk_problem.as_ref().map(|problem| format!("   disk: {problem}")).unwrap_or_default();
    format!(
        "queue {}   in flight {}   spooled {}   replayed {}   objects {}{disk}",
        show_count(facts.queue_records),
        show_count(facts.in_flight),
        show_count(facts.spooled),
        show_count(facts.replayed),
        show_count(facts.objects)
    )
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
