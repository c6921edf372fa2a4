//! What Spillway is tested with: generated events, a fake upstream, an in-process Kafka and an
//! independent recount. The tests of every crate, the demo and the benchmarks use it; nothing that
//! runs in production does.
//!
//! | module | stands for |
//! |---|---|
//! | [`tweets`] | the world: what people post, from a seed |
//! | [`upstream`] | X's filtered stream over HTTP, with faults by script |
//! | [`services`] | streaming services with their own ways to resume, and faults by script or seed |
//! | [`posts`] | an upstream of numbered posts, for tests of whole hosts; the program `upstream` is it |
//! | [`kafka`] | a cluster that can be taken down, and a reader that sees all that is in a topic |
//! | [`cluster`] | a real Kafka cluster, to be killed, frozen and cut off |
//! | [`disk`] | a disk whose power fails and whose space ends |
//! | [`damage`] | bad disks and bad hands: random damage to a spool's files |
//! | [`services`] | other streaming services, over HTTP and WebSocket |
//! | [`oracle`] | what must have come out, counted the naive way from what went in |
//! | [`numbered`] | a load of numbered records with checksums |
//! | [`kcat`] | a reader that is another program |
//! | [`presets`] | the services that the daemon knows, each with its fake upstream, for end-to-end tests |
//! | [`program`] | the real spillwayd as a process |
//! | [`s3`] | an object store, by another project or in memory |
//! | [`store_faults`] | the network before an object store: slow, failing, ambiguous |
//! | [`python`] | programs in Python, installed once |
//! | [`spark`] | Spark with its connector for Kafka |
//! | [`children`] | other processes, started beside a mock cluster |
//! | [`systemd`] | a supervisor: hears what a program tells it, and has a watchdog |
//! | [`samples`] | recordings of real streams, where they are at hand |
//!
//! It guarantees that the same seed gives the same bytes, and that its counts are exact: what it
//! calls served was handed to the operating system whole, what it calls lost is in no partition.
//! It shares no code with the daemon or the consumer, so that an error of theirs cannot hide here.

pub mod children;
pub mod cluster;
pub mod damage;
#[cfg(target_os = "linux")]
pub mod disk;
mod host;
mod http;
pub mod kafka;
pub mod kcat;
pub mod numbered;
pub mod oracle;
mod pipe;
pub mod posts;
pub mod presets;
pub mod program;
pub mod python;
pub mod rng;
pub mod s3;
pub mod samples;
pub mod services;
mod shared;
pub mod spark;
pub mod store_faults;
pub mod systemd;
pub mod tweets;
pub mod upstream;

/// A 64-bit hash of `bytes` (FNV-1a): to compare payloads, not for anything an attacker reaches.
/// Of ten million different payloads, two share a hash with a probability of about 3 in a million.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hash_is_fnv_1a() {
        // Values of the reference implementation.
        assert_eq!(super::hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(super::hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(super::hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
