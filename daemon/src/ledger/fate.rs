//! The fates of records, and their names in metrics and reports. Pure.

/// Where a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Kafka has it.
    Acked,
    /// The disk has it; from here the spool answers for it.
    Spooled,
    /// It is gone, for this reason.
    Dropped(DropReason),
}

/// Why a record was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Kafka refused it for itself (too large, invalid). It is kept as a dead letter.
    Refused,
    /// It is larger than the spool can hold.
    TooLarge,
    /// The spool is full and `when_full = "drop_newest"`.
    SpoolFull,
    /// The daemon stopped, and neither Kafka nor the disk would take it.
    Shutdown,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Refused, Self::TooLarge, Self::SpoolFull, Self::Shutdown];

    /// Its name in metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::SpoolFull => "spool_full",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Where a dead letter is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadPlace {
    /// In the dead-letter topic.
    Topic,
    /// In the spool's dead-letter tree.
    Spool,
}

impl DeadPlace {
    /// Both, in the order of their counters.
    pub const ALL: [Self; 2] = [Self::Topic, Self::Spool];

    /// Its name in metrics and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Spool => "spool",
        }
    }
}
