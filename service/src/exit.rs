//! Exit codes: one number per kind of failure, so that a supervisor and a script can tell a bad
//! configuration from a broken network. The numbers follow `sysexits.h`.

use std::process::ExitCode;

/// Why a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well (0).
    Success,
    /// Something failed that none of the others names (1).
    Failed,
    /// A command that only looks has found something to do (2).
    Changes,
    /// The command line is wrong (64).
    Usage,
    /// An input cannot be read (66).
    NoInput,
    /// The upstream cannot be reached (69).
    Unreachable,
    /// A listen address cannot be bound, for example a port in use (71).
    Listen,
    /// A folder or file cannot be created or written (73).
    CannotWrite,
    /// Another process holds the lock; try again when it has ended (75).
    Locked,
    /// Data on disk was written by a newer version (76).
    NewerVersion,
    /// The upstream refuses the credentials (77).
    Refused,
    /// The configuration is wrong (78).
    Config,
}

impl Exit {
    /// The number that the process exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Changes => 2,
            Self::Usage => 64,
            Self::NoInput => 66,
            Self::Unreachable => 69,
            Self::Listen => 71,
            Self::CannotWrite => 73,
            Self::Locked => 75,
            Self::NewerVersion => 76,
            Self::Refused => 77,
            Self::Config => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
