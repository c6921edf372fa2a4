//! What happens to both programs as services: their start, their configuration, their tasks, their stop.

use super::{Kind, error, info, warn};

pub(super) const EVENTS: &[Kind] = &[
    info(
        "stopping",
        "f0a2b21fe201408d8edc77aa36e30b1e",
        "A stop has begun",
        "The daemon sends what it can within shutdown.drain_deadline, the rest goes to disk. The consumer needs a second or so; its open windows are read again by the next run.",
    ),
    info(
        "stopped",
        "01d0a80133fc49149c2966df39417fbb",
        "The program has stopped",
        "The figures are those of this run; the daemon's on_disk is what the next start will deliver.",
    ),
    error(
        "start_failed",
        "38e55ba79f404b8c873dd964bc6efb5b",
        "The program could not start",
        "The message says what was tried. Nothing was read. The exit code tells the kind: 71 a port in use, 73 the disk or the store, 75 another process has the spool, 76 a spool of a newer version, 77 Kafka refuses the consumer.",
        "Remove the cause. systemd tries again every 5 or 10 s, except after 76, which needs the newer version: see the runbook on downgrades.",
    ),
    error(
        "configuration_invalid",
        "61308e8932074532b2179820e5dd7f05",
        "The configuration is wrong",
        "The program has not started, and systemd does not try again. Each error has a message of its own, with its line.",
        "Correct the file, check it with spillwayd check --config FILE or spillway-consumer check --config FILE, then systemctl start.",
    ),
    warn(
        "configuration_warning",
        "3399682ee93f413884eebad402a7cae0",
        "The configuration is valid, but unwise",
        "The message says what and why.",
        "Follow it, or leave it as it is.",
    ),
    info(
        "reloaded",
        "91ed866288df4a71be7da560928d3150",
        "The configuration was read again",
        "What can change in a running program is in force: of the consumer, the log level.",
    ),
    warn(
        "reload_partial",
        "f2ef485958294233961d93ee3957b424",
        "A part of the new configuration needs a restart",
        "The settings that the message lists are still the old ones. The others are in force.",
        "systemctl restart the unit when it suits. A stop loses nothing.",
    ),
    error(
        "reload_refused",
        "ed9fe08b1f57438089389d1ed2b3686e",
        "The new configuration is wrong",
        "Nothing of it is in force; the program goes on with the old one. It would not start with the new one.",
        "Correct the file, check it with spillwayd check --config FILE or spillway-consumer check --config FILE, then systemctl reload.",
    ),
    error(
        "task_failed",
        "ec7fd0e45d914890a6869dd736cb8256",
        "A task has failed",
        "A part of the daemon panicked. The others save what they can, then it ends with exit code 1 and systemd starts it again.",
        "Report it with the journal around it: this is a bug.",
    ),
    error(
        "task_stuck",
        "31fa0015439542589bb429dbe9ddaf07",
        "A task makes no progress",
        "A part of the program has not come around for half of the watchdog's time. If that lasts, systemd kills the program and starts it again. With journal = \"always\" or resumed sources that loses nothing, and the consumer never loses anything by it.",
        "Look at the disk first: a write that hangs does this. If the disk is well, report it with the journal around it.",
    ),
    info(
        "tasks_moving",
        "a3f0253a2e83476b989bcf7ca48755d3",
        "All tasks make progress again",
        "What kept a task from coming around is over.",
    ),
    error(
        "unaccounted",
        "0238e5ce822747d88d88625e42c4355e",
        "Records have ended without a fate",
        "The accounts do not add up at the stop.",
        "Report it with the journal of the whole run: this is a bug.",
    ),
    warn(
        "notify_failed",
        "f859aa4c2de04cab8aed1ae31bbef902",
        "systemd cannot be told",
        "A message about readiness, status or the watchdog did not reach systemd.",
        "Check NotifyAccess= in drop-ins of the unit.",
    ),
    error(
        "admin_failed",
        "e3310a6335644629b1cba5b728e8e8ba",
        "The admin endpoint has failed",
        "/metrics, /status, /readyz and /healthz do not answer any more. Records flow on.",
        "Restart the unit when it suits; see the message for the cause.",
    ),
    error(
        "control_failed",
        "c334c1dc884041cabd96fabf2150747c",
        "The control socket has failed",
        "spillwayd spool dead retry and drop do not work while the daemon runs. Records flow on.",
        "Restart the unit when it suits; see the message for the cause.",
    ),
    warn(
        "control_unavailable",
        "2021fd82a2fb4a08a738edcb89657e1e",
        "There is no control socket",
        "spillwayd spool dead retry and drop work only while the daemon is stopped. Records flow on.",
        "Shorten the path of the spool's folder if it has more than about 90 bytes, or check its rights.",
    ),
];
