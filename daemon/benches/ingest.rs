//! From HTTP to lines: a source of the daemon beside a bare reader, in the same process and in turns.
//!
//! The bare reader takes the same stream with reqwest and cuts lines with memchr; it keeps nothing. Each
//! runs on one thread, the server on another. Two shares are given: of the bare reader's rate, and of its
//! processor time, which the server and other programs do not disturb.
//!
//! `cargo bench -p spillway-daemon --bench ingest [-- --mib N --rounds N]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and prints its table"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use spillway_daemon::Config;
use spillway_daemon::config::SourceKind;
use spillway_daemon::sources::{Event, HttpSource};
use spillway_service::settings::Environment;

/// As in the program; the bare reader has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records of a block, which the server repeats.
const BLOCK: usize = 1000;

/// What one run took.
struct Run {
    wall: Duration,
    cpu: Duration,
}

fn main() {
    spillway_daemon::sources::http::choose_cryptography();
    let (mib, rounds) = (argument("--mib", 256), argument("--rounds", 5));
    println!("{mib} MiB a round, {rounds} rounds in turns; medians\n");
    println!("{:<36} {:>10} {:>12} {:>11} {:>10}", "", "MiB/s", "records/s", "rate ratio", "cpu ratio");
    for (name, sse, bytes, fields) in [
        ("NDJSON 1024 B, no field", false, 1024, ""),
        ("NDJSON 200 B, no field", false, 200, ""),
        ("NDJSON 1024 B, id and time", false, 1024, "id = '/id'\ntime = '/t'"),
        ("SSE 1024 B, no field", true, 1024, ""),
        ("SSE 200 B, no field", true, 200, ""),
        ("SSE 1024 B, id and time", true, 1024, "id = '/id'\ntime = '/t'"),
    ] {
        let (blocks, records) = blocks(sse, bytes, mib << 20);
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bare.push(measured(&blocks, sse, |url| block_on(read_bare(url))));
            ours.push(measured(&blocks, sse, |url| block_on(read_source(url, sse, fields, records))));
        }
        let (bare, ours) = (median(bare), median(ours));
        let seconds = ours.wall.as_secs_f64();
        println!(
            "{name:<36} {:>10.0} {:>12.0} {:>11.2} {:>10.2}",
            mib as f64 / seconds,
            records as f64 / seconds,
            bare.wall.as_secs_f64() / seconds,
            bare.cpu.as_secs_f64() / ours.cpu.as_secs_f64(),
        );
    }
}

fn argument(name: &str, usual: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// The body in blocks, with ids that never repeat, and how many records it has.
fn blocks(sse: bool, bytes: usize, total: usize) -> (Vec<Vec<u8>>, usize) {
    let (mut blocks, mut number, mut size) = (Vec::new(), 0, 0);
    let filler = "x".repeat(bytes.saturating_sub(60));
    while size < total {
        let mut block = Vec::with_capacity(BLOCK * (bytes + 60));
        for _ in 0..BLOCK {
            let json = format!("{{\"id\":\"{number:012}\",\"t\":1690617099000,\"text\":\"{filler}\"}}");
            if sse {
                write!(block, "event: message\nid: {number}\ndata: {json}\n\n").unwrap();
            } else {
                writeln!(block, "{json}").unwrap();
            }
            number += 1;
        }
        size += block.len();
        blocks.push(block);
    }
    (blocks, number)
}

/// Serves the blocks once to whoever comes.
fn serve(blocks: &[Vec<u8>], sse: bool, listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while head.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let kind = if sse { "text/event-stream" } else { "application/x-ndjson" };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n").unwrap();
    for block in blocks {
        stream.write_all(block).unwrap();
    }
}

fn measured(blocks: &[Vec<u8>], sse: bool, read: impl FnOnce(SocketAddr)) -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| serve(blocks, sse, &listener));
        let (wall, cpu) = (Instant::now(), cpu_time());
        read(address);
        Run { wall: wall.elapsed(), cpu: cpu_time() - cpu }
    })
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

async fn read_bare(address: SocketAddr) {
    let mut response = reqwest::get(format!("http://{address}/")).await.unwrap();
    let (mut lines, mut partial) = (0_usize, Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &chunk) {
            partial.extend_from_slice(if partial.is_empty() { &[] } else { &chunk[begin..end] });
            lines += usize::from(end > begin || !partial.is_empty());
            partial.clear();
            begin = end + 1;
        }
        partial.extend_from_slice(&chunk[begin..]);
    }
    assert!(std::hint::black_box(lines) > 0);
}

async fn read_source(address: SocketAddr, sse: bool, fields: &str, records: usize) {
    let kind = if sse { "http_sse" } else { "http_ndjson" };
    let text = format!(
        "[source]\ntype = '{kind}'\nurl = 'http://{address}/'\n{fields}\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n"
    );
    let config = Config::parse("bench.toml", &text, &Environment::default()).unwrap();
    let SourceKind::Http(http) = &config.sources[0].kind else { panic!("an HTTP source") };
    let mut source = HttpSource::new("bench", (**http).clone(), 1 << 20, None).unwrap();
    let mut lines = 0;
    loop {
        match source.next().await {
            Event::Lines(more) => lines += std::hint::black_box(more).len(),
            Event::Connected => {}
            Event::Disconnected(_) | Event::Ended => break,
        }
    }
    assert_eq!(lines, records);
}

fn median(mut runs: Vec<Run>) -> Run {
    runs.sort_by_key(|run| run.cpu);
    runs.swap_remove(runs.len() / 2)
}
