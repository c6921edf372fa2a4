//! The spool's benchmarks: `cargo bench -p spillway-spool -- [--quick] [append] [drain] [memory] [designs] [powercut]`.
//!
//! Every figure is a ratio to a baseline measured in the same run, alternating with it, and the median of several
//! rounds. Without a name all of them run; `powercut` needs root and says so when it has not got it.
#![allow(clippy::print_stdout, reason = "the tables are the output")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may fail loudly")]

mod append;
mod designs;
mod drain;
mod memory;
mod payload;
mod powercut;
mod tools;

use std::path::PathBuf;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Scale {
    quick: bool,
}

impl Scale {
    fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// The folder that everything is written below: `SPILLWAY_BENCH_DIR`, or the system's temporary folder.
fn bench_dir() -> PathBuf {
    std::env::var_os("SPILLWAY_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(part) = arguments.first().and_then(|first| first.strip_prefix("--child=")) {
        return child(part, &arguments[1..]);
    }
    let scale = Scale { quick: arguments.iter().any(|a| a == "--quick") };
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.starts_with("--")).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.contains(&name);

    tools::describe_machine();
    if runs("append") {
        append::run(scale);
    }
    if runs("drain") {
        drain::run(scale);
    }
    if runs("memory") {
        memory::run(scale);
    }
    if runs("designs") {
        designs::run(scale);
    }
    if runs("powercut") {
        powercut::run(scale);
    }
}

/// Parts that need a process of their own.
fn child(part: &str, arguments: &[String]) {
    match part {
        "fill" => memory::fill(arguments),
        "reopen" => memory::reopen(arguments),
        "design" => designs::child(arguments),
        "promise" => powercut::child(arguments),
        other => panic!("unknown part {other}"),
    }
}
