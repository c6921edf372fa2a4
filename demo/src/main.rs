//! `spillway-demo`: one command that shows an outage survived.
//!
//! It plays a stream of posts over HTTP to the real daemon, which sends them to an in-process Kafka
//! cluster, from which the real consumer makes tables. In the middle all brokers go away. At the end
//! everything that was sent is looked for in the topic, and every window is counted again by code that
//! shares nothing with the consumer. Exit code 0 means that nothing is lost and every window is right.
//!
//! This file: arguments, run, report, exit code.

mod args;
mod config;
mod error;
mod facts;
mod folder;
mod input;
mod paint;
mod posts;
mod report;
mod run;
mod sentiment;
mod services;
mod story;
mod tables;
mod top;
mod verify;
mod view;

use std::io::Write;
use std::process::ExitCode;

use args::Args;
use clap::Parser;
use error::Error;
use paint::Paint;
use spillway_service::errors::chain;
use spillway_service::exit::Exit;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let paint = Paint::for_stdout();
    match show(&args, paint) {
        Ok(true) => Exit::Success.into(),
        Ok(false) => Exit::Failed.into(),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "spillway-demo: {}", chain(&error));
            error.exit().into()
        }
    }
}

/// Runs the demo and reports; whether it passed.
fn show(args: &Args, paint: Paint) -> Result<bool, Error> {
    let (report, folder, cluster) = run::run(args, paint)?;
    report.write(&folder)?;
    let text = report.text(&folder, paint);
    // A reader that has gone away changes nothing about the result.
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if args.keep {
        // Nobody there to press it is as good as pressed.
        let _ = std::io::stdin().read_line(&mut String::new());
    }
    drop(cluster);
    Ok(report.passed())
}
