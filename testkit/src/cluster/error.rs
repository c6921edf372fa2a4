//! Why the cluster harness failed.

use std::path::PathBuf;

/// Why the cluster harness failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of the harness could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}; {hint}")]
    Program {
        /// Its name.
        program: &'static str,
        /// How to get it.
        hint: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it said.
        output: String,
    },
    /// No free block of ports was found on loopback.
    #[error("no free ports on 127.0.0.1 between 10000 and 32000")]
    Ports,
    /// There is no such broker.
    #[error("no broker {0}: brokers count from 1")]
    NoBroker(u8),
    /// A broker ended by itself.
    #[error("broker {broker} ended by itself; its log ends with:\n{log}")]
    BrokerEnded {
        /// Counted from 1.
        broker: u8,
        /// The end of its log.
        log: String,
    },
    /// Something did not come about in time.
    #[error("waited {seconds} s for {what}; last seen: {seen}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// The last state seen.
        seen: String,
    },
    /// A signal could not be sent to a broker.
    #[error("cannot signal broker {broker}")]
    Signal {
        /// Counted from 1.
        broker: u8,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The cluster refused a command of the administrator.
    #[error("Kafka refused to {command}: {exception}: {message}")]
    Refused {
        /// The command.
        command: String,
        /// The simple name of the Java exception, `TopicExistsException` for example.
        exception: String,
        /// Its message.
        message: String,
    },
    /// The administrator's process is gone or gave no sensible answer.
    #[error("the administrator's process is gone: {0}")]
    Admin(String),
    /// A port of the network between clients and brokers could not be opened.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Wire {
        /// The port.
        port: u16,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The thread of the network has ended.
    #[error("the thread of the network has ended")]
    NetworkEnded,
    /// A cluster runs in this folder already, or none does.
    #[error("{0}")]
    State(String),
}

impl Error {
    /// Whether Kafka refused because the topic exists.
    #[must_use]
    pub fn is_topic_exists(&self) -> bool {
        matches!(self, Self::Refused { exception, .. } if exception == "TopicExistsException")
    }

    /// Whether the cluster did not answer in time, as when its brokers are down or frozen.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Refused { exception, .. } if exception == "TimeoutException")
            || matches!(self, Self::Late { .. })
    }

    /// Builds [`Error::File`] from an I/O error.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
