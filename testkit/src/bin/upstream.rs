//! `upstream`: numbered posts over HTTP, for tests that run whole hosts. The server is
//! [`spillway_testkit::posts`].

use std::fmt::Write as _;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use spillway_testkit::posts::{Options, Posts};

/// Readers take a stream for dead after 20 s or more.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = "\
What it answers:
  GET /stream   server-sent events from number 1 on, RATE a second. The clock starts with the first such
                request and does not stop when the client goes away; Last-Event-ID resumes behind that number
  GET /lines    lines of JSON from number 1 on, for each client anew and without resume
  POST /end     the number of the last post of /stream. 600 more follow, dated 30 minutes later, so that
                windows of event time before them are over

Post n is the same whoever reads it and how often: to know what must have arrived, the number of the last one
is enough. A sign of life comes after 10 s without a post. It prints a line that begins with 'ready' when it
listens, and serves until it is killed.

A first try:
  upstream 127.0.0.1 8080 200
  curl -N http://127.0.0.1:8080/stream
  curl -N -H 'Last-Event-ID: 1000' http://127.0.0.1:8080/stream
  curl -X POST http://127.0.0.1:8080/end

In spillwayd.toml:
  [source]
  type = \"http_sse\"
  url = \"http://127.0.0.1:8080/stream\"
  id = \"/data/id\"
  time = \"/data/created_at\"

Exit codes: 1 it cannot listen there; 64 wrong usage.";

/// An upstream of numbered posts in the form of X's v2 API, resumable, without faults of its own.
#[derive(Debug, Parser)]
#[command(name = "upstream", version, after_help = AFTER_HELP)]
struct Args {
    /// The address to listen on.
    address: IpAddr,
    /// The port; 0 takes a free one.
    port: u16,
    /// Posts a second.
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let listen = SocketAddr::new(args.address, args.port);
    match Posts::start(&Options { listen, rate: args.rate, keep_alive: KEEP_ALIVE }) {
        Ok(posts) => {
            // Whoever does not read this is served as well.
            let _ = writeln!(std::io::stdout(), "ready: {}/stream", posts.base());
            posts.wait();
        }
        Err(error) => {
            let mut text = format!("upstream: {error}");
            if let Some(cause) = std::error::Error::source(&error) {
                // Writing to a string cannot fail.
                let _ = write!(text, ": {cause}");
            }
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
    // It serves for as long as it can.
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_address_port_and_rate() {
        let parse = |words: [&str; 3]| Args::try_parse_from(["upstream"].into_iter().chain(words));
        let args = parse(["10.77.0.1", "8080", "200"]).unwrap();
        assert_eq!((args.address.to_string(), args.port, args.rate), ("10.77.0.1".to_owned(), 8080, 200));
        for wrong in [["host", "8080", "200"], ["::1", "65536", "200"], ["::1", "8080", "0"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
