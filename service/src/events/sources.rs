//! What happens between the daemon and its upstreams.

use super::{Kind, error, info, warn};

pub(super) const EVENTS: &[Kind] = &[
    info(
        "source_connected",
        "b953ed3336fd41dda9f0cf80adc61f32",
        "An upstream is connected",
        "Records of this source are read.",
    ),
    info(
        "source_ended",
        "63b738546df4406ea791e4335f74f1e1",
        "An input has ended",
        "The source has no more to give. All of it is delivered before the daemon ends.",
    ),
    warn(
        "source_disconnected",
        "c6c37b44c37f4f3198ae5bf29c7fdd05",
        "An upstream is disconnected",
        "It is connected again after the given time, with the service's own waits. A source that is resumed loses nothing; for others see source_gap.",
        "Nothing, if it comes back. If it does not, check the network, the proxy and the service's own status page.",
    ),
    error(
        "source_refused",
        "5fb51f0ec0814f6a9ce0918b4365efa5",
        "An upstream refuses us",
        "The upstream has answered, and does not accept the credentials or the address.",
        "Check source.url and the token. A new token takes a restart of the unit. If the very first connection was refused, the daemon has ended with exit code 77 and systemd leaves it so: start it again.",
    ),
    error(
        "source_unreachable",
        "afd1f1f5f44f4b1c90f1aa9892def1b1",
        "An upstream could not be reached since the start",
        "No connection to this source was made since the start. With one source the daemon ends with exit code 69 and systemd starts it again; with several the others go on.",
        "Check source.url, the network and the proxy. source.start_timeout = 0 waits for ever.",
    ),
    info(
        "source_notice",
        "0cc3db4a31b54a40af43d9f3351cdcac",
        "An upstream sent a message that is no data",
        "It is counted and not produced. Others of its kind are only counted.",
    ),
    warn(
        "source_disconnect_announced",
        "a111c269f21046c9b58868d28ccd8f0b",
        "An upstream announces that it disconnects us",
        "The service says itself why it ends the connection. It is connected again.",
        "If it says that there are too many connections, find the other client that uses the same token.",
    ),
    warn(
        "source_gap",
        "e034385319934e3fa465e98389755b83",
        "A span of an upstream is missing",
        "What the upstream served between the two times was not received, and the service cannot serve it again.",
        "Fill the span from the service's search or archive if it matters. The times are those of the events.",
    ),
    warn(
        "source_id_not_kept",
        "09621e0808ba46ea84e0a8867cddd97a",
        "A place in the upstream cannot be kept",
        "The event ids of the upstream are too long, or not UTF-8. A restart begins at the present and not where it was.",
        "Nothing, as long as the service sends such ids.",
    ),
    warn(
        "cursor_not_kept",
        "e9cf9975c0234ca2bbe5904e873fc1b0",
        "A place in the upstream cannot be written",
        "Records flow on. A crash now would read more of them again; none is lost.",
        "Look for spool_failed or spool_full nearby: the disk takes nothing.",
    ),
    warn(
        "cursor_unreadable",
        "da9da420357d414fa57560bbabe77497",
        "A place in the upstream cannot be read",
        "The source is read from its beginning, or from the present if it has none. Records may come again, with the same spillway-id.",
        "Look for spool_damaged nearby.",
    ),
    warn(
        "file_replaced",
        "6b79ecb49d754fc29fa67d2be38431fa",
        "A file that is read was emptied or is another one",
        "It is read from its beginning.",
        "If a rotation does this, let it rename the file and not empty it: what was not read yet is gone.",
    ),
    info(
        "file_rotated",
        "9f291a7f179a452c8488db6cc181c0cb",
        "A file that is read was rotated",
        "What is left of the old one is read first.",
    ),
];
