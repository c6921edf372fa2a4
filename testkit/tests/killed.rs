//! `kill -9` of the real daemon at random moments, with `journal = "always"`: nothing that was accepted
//! is lost. `SPILLWAY_KILLS` says how often (100 for the figure in `docs/delivery.md`).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails loudly and says its figures")]

mod rig;

use rig::load::{Lines, Stream};
use rig::rounds::{Input, Rounds};
use rig::{cases, seed};
use spillway_testkit::rng::Rng;

const KILLS: u64 = 10;

fn kill_again_and_again(name: &str, seed: u64, dir: &std::path::Path, input: Input) {
    let rounds = Rounds {
        dir,
        spool: &dir.join("spool"),
        input,
        rng: Rng::new(seed),
        delivery: String::new(),
        limits: String::new(),
    };
    // Both sources share the kills.
    let figures = rounds.run(cases("SPILLWAY_KILLS", KILLS).div_ceil(2), rig::daemon::Daemon::kill);
    eprintln!("{name}: {figures:?}");
}

#[test]
fn a_stream_loses_nothing_that_was_accepted() {
    let seed = seed("kill -9, http");
    let dir = tempfile::tempdir().unwrap();
    kill_again_and_again("kill -9, http", seed, dir.path(), Input::Stream(Stream::start(seed)));
}

#[test]
fn a_file_loses_nothing_at_all() {
    let seed = seed("kill -9, file");
    let dir = tempfile::tempdir().unwrap();
    kill_again_and_again("kill -9, file", seed, dir.path(), Input::File(Lines::start(dir.path(), seed)));
}
