//! Why a demo could not be run to its end. A demo that ran and found something lost is no error: that
//! is what its report says.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use parquet::errors::ParquetError;
use spillway_service::exit::Exit;
use spillway_service::settings::Problems;
use spillway_testkit::{kafka, upstream};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("{} holds no whole line: a record is a line with an end", path.display())]
    NothingToServe { path: PathBuf },
    #[error("{} is not empty and was not made by the demo; give another folder with --out", path.display())]
    ForeignFolder { path: PathBuf },
    #[error("cannot use {} as the demo's folder", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("the path {} is no Unicode, which the configurations need", path.display())]
    NotUnicode { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the in-process Kafka cluster failed")]
    Kafka(#[from] kafka::Error),
    #[error("the simulated upstream failed")]
    Upstream(#[from] upstream::StartError),
    #[error("the demo made a configuration that is not valid:\n{0}")]
    Config(Problems),
    #[error("the daemon did not start")]
    DaemonStart(#[from] spillway_daemon::StartError),
    #[error("the daemon ended on its own: {reason}")]
    DaemonEnded { reason: String },
    #[error("the consumer failed")]
    Consumer(#[source] Box<spillway_consumer::Error>),
    #[error("the consumer ended before it was told to")]
    ConsumerEnded,
    #[error("a thread of the demo failed: {name}")]
    Panicked { name: &'static str },
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("nothing has moved for {} s while {waiting_for}; {state}", patience.as_secs())]
    Stalled { waiting_for: &'static str, patience: Duration, state: String },
    #[error("cannot list {}", path.display())]
    List { path: PathBuf, source: io::Error },
    #[error("cannot open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read {} as Parquet", path.display())]
    Parquet { path: PathBuf, source: ParquetError },
    #[error("{} is not a table as documented: {what}", path.display())]
    Shape { path: PathBuf, what: String },
}

impl Error {
    /// The exit code that tells this failure from others.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::ForeignFolder { .. } | Self::Folder { .. } | Self::Write { .. } => Exit::CannotWrite,
            Self::Input { .. } | Self::NothingToServe { .. } | Self::NotUnicode { .. } => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}
