//! What both programs share as services: reading a configuration file so that every error is
//! reported at once, secrets, logging to a terminal or to journald, exit codes, and the settings of
//! a Kafka client. It knows nothing of records, spools or windows.

pub mod errors;
pub mod exit;
pub mod kafka;
pub mod logging;
pub mod secret;
pub mod settings;
pub mod units;
