//! The power of the spool's file system is cut at random moments, with `journal = "always"`: nothing
//! that was accepted before the cut began is lost. `SPILLWAY_CUTS` says how often (100 for the figure in
//! `docs/delivery.md`). Needs root and loop devices; without them it says SKIPPED.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails loudly and says its figures")]

mod rig;

use std::path::Path;

use rig::load::{Lines, Stream};
use rig::rounds::{Input, Rounds};
use rig::{cases, seed};
use spillway_testkit::disk::Disk;
use spillway_testkit::rng::Rng;

const CUTS: u64 = 10;
const DISK_BYTES: u64 = 128 << 20;

fn cut_again_and_again(name: &str, seed: u64, dir: &Path, input: Input) {
    let disk = Disk::create(dir, DISK_BYTES).unwrap();
    let rounds = Rounds {
        dir,
        spool: &disk.path().join("spool"),
        input,
        rng: Rng::new(seed),
        delivery: String::new(),
        limits: String::new(),
    };
    // Both sources share the cuts.
    let figures = rounds.run(cases("SPILLWAY_CUTS", CUTS).div_ceil(2), |daemon| {
        disk.power_cut().unwrap();
        daemon.kill();
        disk.remount().unwrap();
    });
    eprintln!("{name}: {figures:?}");
}

#[test]
fn a_stream_loses_nothing_that_was_accepted() {
    if let Err(reason) = Disk::is_possible() {
        return eprintln!("SKIPPED: no power cuts: {reason}");
    }
    let seed = seed("power cut, http");
    let dir = tempfile::tempdir().unwrap();
    cut_again_and_again("power cut, http", seed, dir.path(), Input::Stream(Stream::start(seed)));
}

#[test]
fn a_file_loses_nothing_at_all() {
    if let Err(reason) = Disk::is_possible() {
        return eprintln!("SKIPPED: no power cuts: {reason}");
    }
    let seed = seed("power cut, file");
    let dir = tempfile::tempdir().unwrap();
    cut_again_and_again("power cut, file", seed, dir.path(), Input::File(Lines::start(dir.path(), seed)));
}
