//! Servers that speak S3, for tests: what the tables go to in production, on loopback.
//!
//! | type | what it is | for |
//! |---|---|---|
//! | [`Moto`] | `moto` from PyPI, another project's idea of S3, as a process | the proof: nearly no code of ours on the server's side |
//! | [`Memory`] | as much of S3 as an object store client uses, in the test's own process | the quick tier: nothing to install |
//!
//! Both refuse a second `PUT` with `If-None-Match: *`, also when two writers race: a test has two race a
//! thousand times. That is what a create-only log rests on, and not every test server does it. Both
//! forget everything when they are dropped. [`Client`] is a client of our own that neither uses nor
//! resembles the one under test.

mod client;
mod memory;
mod moto;
#[cfg(test)]
mod tests;
mod xml;

pub use client::{Client, Put};
pub use memory::Memory;
pub use moto::Moto;

/// Why a server or a client failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Python or the packages.
    #[error("moto cannot be installed")]
    Python(#[from] crate::python::Error),
    /// The in-process server.
    #[error("the S3 server cannot be started")]
    Start(#[from] crate::host::StartError),
    /// The process of the server.
    #[error("moto does not start: {0}")]
    Moto(String),
    /// A request that was not answered.
    #[error("the S3 server did not answer {request}")]
    Request {
        /// Method and target.
        request: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An answer that was not expected.
    #[error("the S3 server answered {request} with {status}: {body}")]
    Status {
        /// Method and target.
        request: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
}
