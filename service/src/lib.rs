//! What both programs share as services: reading a configuration file so that every error is
//! reported at once, secrets, logging to a terminal or to journald and the table of what is logged, what
//! systemd is told, the tasks' pulse, exit codes, man pages, the settings of a Kafka client, and the admin
//! endpoint. It knows nothing of records, spools or windows.

pub mod admin;
pub mod errors;
pub mod events;
pub mod exit;
pub mod figures;
pub mod kafka;
pub mod logging;
pub mod manual;
pub mod notify;
pub mod pulse;
pub mod secret;
pub mod settings;
pub mod sockets;
pub mod units;
